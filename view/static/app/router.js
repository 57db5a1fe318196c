// The address: #/run/ID/trajectories?kind=explored. Everything that a page shows is in it, so it can be sent and kept.
import { useEffect, useState } from "preact/hooks";

export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decoded), params: Object.fromEntries(new URLSearchParams(query)) };
}

export function href(path, params = {}) {
  const given = Object.entries(params).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const query = new URLSearchParams(given).toString();
  return "#/" + path.map(encodeURIComponent).join("/") + (query ? "?" + query : "");
}

export function go(path, params) {
  location.hash = href(path, params);
}

// Changes parameters of the present address, without a new entry in the history.
export function change(changes) {
  const { path, params } = parse(location.hash);
  history.replaceState(null, "", href(path, { ...params, ...changes }));
  dispatchEvent(new HashChangeEvent("hashchange"));
}

export function useAddress() {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const moved = () => setHash(location.hash);
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return parse(hash);
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
