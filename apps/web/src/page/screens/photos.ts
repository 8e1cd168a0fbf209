/** The photos of the case: look at them, remove one, add another close-up, ask for the answer. */

import { App } from "../app";
import { closeUps, MOST_CLOSE_UPS, Photo, removePhoto } from "../case";
import { button, element, show } from "../dom";

export function photos(app: App): void {
  const count = closeUps(app.case).length;
  let number = 0;
  const cards = app.case.photos.map((photo) => {
    const name = photo.view === "overview" ? app.say("photo_overview") : app.say("photo_close_up", { number: String(++number) });
    return card(app, photo, name);
  });
  const urls = cards.map(({ url }) => url);
  app.leave = () => urls.forEach((url) => URL.revokeObjectURL(url));
  show(
    app.say("photos"),
    element("p", {}, app.say("photos_count", { count: String(count) })),
    element("ul", { class: "photos" }, ...cards.map(({ item }) => item)),
    element(
      "div",
      { class: "actions" },
      button(app.say("see_answer"), () => app.go("answer"), "primary"),
      count < MOST_CLOSE_UPS ? button(app.say("another"), () => app.go("close_up")) : null,
    ),
  );
}

function card(app: App, photo: Photo, name: string): { item: HTMLElement; url: string } {
  const url = URL.createObjectURL(photo.jpeg);
  const remove = button(app.say("remove", { name }), () => {
    removePhoto(app.case, photo);
    app.render("photos");
  });
  return { item: element("li", {}, element("img", { src: url, alt: name }), element("span", {}, name), remove), url };
}
