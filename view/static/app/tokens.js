// The tokens of a training example: which of them the loss is over.
import { useState } from "preact/hooks";
import { Answer, Text, count, html, useData } from "view/ui";

export function Tokens({ run, id }) {
  const [open, setOpen] = useState(false);
  const found = useData(open ? `/runs/${run}/examples/${id}/tokens` : "");
  return html` <button class="link" aria-expanded=${open} onClick=${() => setOpen(!open)}>${open ? "hide" : "show"} tokens</button>
    ${open && html`<${Answer} of=${found} draw=${(data) => html`<span class="note">${count(data.trained)} of ${count(data.tokens.length)} tokens are targets${data.lengths.length > 1 ? `, in ${data.lengths.length} sequences` : ""}</span>
      <div class="tokens">${data.tokens.map(([text, target]) => html`<span class=${target ? "token target" : "token"}><${Text} text=${text} /></span>`)}</div>`} />`}`;
}
