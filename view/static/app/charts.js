// Pictures by Observable Plot, which is loaded when the first one is drawn.
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "view/ui";

let loading;

function plot() {
  loading ??= globalThis.STECA.charts.reduce((before, url) => before.then(() => script(url)), Promise.resolve());
  return loading.then(() => globalThis.Plot);
}

function script(url) {
  return new Promise((done, failed) => {
    const element = document.createElement("script");
    element.src = url;
    element.onload = done;
    element.onerror = () => failed(new Error("the charts could not be loaded"));
    document.head.append(element);
  });
}

export const colour = (name) => `var(--${name})`;
export const VERDICTS = ["deviated", "not_deviated", "undecided", "filtered"];

// options: (Plot, width) => the options of Plot.plot. `label` is read to those who do not see it.
export function Chart({ options, label, keys = [] }) {
  const place = useRef(null);
  const [width, setWidth] = useState(0);
  const [fault, setFault] = useState("");
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.round(entry.contentRect.width)));
    observer.observe(place.current);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (!width) return undefined;
    let current = true;
    plot().then(
      (Plot) => {
        if (!current || !place.current) return;
        const drawn = Plot.plot({ width, marginBottom: 38, style: { background: "none", fontSize: "12px", overflow: "visible" }, ...options(Plot, width) });
        place.current.replaceChildren(drawn);
      },
      (error) => current && setFault(error.message),
    );
    return () => {
      current = false;
    };
  }, [width, ...keys]);
  return html`<div class="chart" ref=${place} role="img" aria-label=${label}>${fault}</div>`;
}
