/** Elements of the page, made from plain values: text is always text, never markup. */

type Child = Node | string | null;
type Properties = Record<string, string | boolean | ((event: Event) => void)>;

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (typeof value === "boolean") made.toggleAttribute(name, value);
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export function button(text: string, press: () => void, kind = ""): HTMLButtonElement {
  return element("button", { type: "button", class: kind, click: press }, text);
}

/** A label that looks like a button and opens a file; the same file may be opened again. */
export function fileButton(text: string, { id, accept }: { id: string; accept: string }, open: (file: File) => Promise<void>): HTMLElement {
  const choose = async (event: Event): Promise<void> => {
    const input = event.target as HTMLInputElement;
    const file = input.files?.[0];
    if (file) await open(file);
    input.value = "";
  };
  const input = element("input", { type: "file", accept, class: "hidden", id, change: (event) => void choose(event) });
  return element("label", { class: "button", for: id }, input, text);
}

/** A value set apart in a sentence, so that its own direction does not turn the rest. */
export function apart(value: string): string {
  return `\u2068${value}\u2069`;
}

/** Show a screen: its heading takes the focus, so that screen readers begin there. */
export function show(heading: string, ...children: Child[]): void {
  const title = element("h1", { tabindex: "-1" }, heading);
  const main = document.querySelector("main");
  main?.replaceChildren(title, ...children.filter((child) => child !== null));
  document.title = heading;
  window.scrollTo(0, 0);
  title.focus({ preventScroll: true });
}
