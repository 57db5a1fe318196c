"""TextCraft: crafting items by recipe, with the tasks of TextCraft and TextCraft-Synth and our own rules."""
