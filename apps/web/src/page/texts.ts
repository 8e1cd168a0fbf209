/** The words of the app in one language: one file of texts/ each. */

export interface Texts {
  say: (key: string, values?: Record<string, string>) => string;
  language: string;
}

interface File {
  language: string;
  name: string;
  direction: "ltr" | "rtl";
  reviewed: boolean;
  texts: Record<string, string>;
}

/** The language asked for (?lang=), else the first of the browser's that there is, else the site's first. */
export function chosen(languages: string[]): string {
  const asked = new URLSearchParams(location.search).get("lang");
  const wanted = [asked ?? "", ...navigator.languages.map((tag) => tag.split("-")[0])];
  return wanted.find((tag) => languages.includes(tag)) ?? languages[0];
}

export async function load(language: string): Promise<Texts> {
  const file = (await (await fetch(`texts/${language}.json`)).json()) as File;
  document.documentElement.lang = file.language;
  document.documentElement.dir = file.direction;
  const say = (key: string, values: Record<string, string> = {}): string => {
    const text = file.texts[key];
    if (text === undefined) throw new Error(`texts/${language}.json has no ${key}`);
    return text.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? "");
  };
  const draft = file.reviewed ? "" : say("draft");
  return { language, say: (key, values) => (key === "draft" ? draft : say(key, values)) };
}
