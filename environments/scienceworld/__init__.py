"""The world `scienceworld`: ETO's selection of ScienceWorld (Wang et al. 2022), elementary-school science in text.

catalog      the 24 task types, how many variations they have, and their step caps
splits       which variations belong to which split
package      finds the simulator's jar in the installed package `scienceworld`
simulator    one JVM with any number of independent, deterministic episodes
environment  an episode as the agent sees it
gold         the simulator's own solutions, made once and stored
files        where they are stored
thoughts     thoughts for them, composed from what is visible
briefing     what a chat model is told before an episode
vocabulary   names that become single tokens of a small policy
world        the tasks
"""
