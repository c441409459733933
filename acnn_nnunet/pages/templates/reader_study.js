"use strict";
/* A reading study: one item after the other, rated by a key; progress is kept in the browser after each key. */
(function () {
  const content = JSON.parse(document.getElementById("content").textContent);
  const { study, items, cases } = content, prefix = `acnn-nnunet/reader-study/${study}/`;
  const find = (selector) => document.querySelector(selector);
  const viewer = new acnn.Viewer(find("#study .here"), {
    height: () => window.innerHeight - find("#study .stage").getBoundingClientRect().top - window.scrollY - 100,
  });
  viewer.settings.cross = false;
  const AGAIN = "acnn-nnunet reader ";
  let reader = null, state = null, ready = false;

  /* The browser's storage: an entry for each reader and item, so that two tabs never overwrite each other's ratings. */
  const storage = {
    of: (name, what) => `${prefix}${encodeURIComponent(name)}/${what}`,
    get(key) {
      try { return localStorage.getItem(key); } catch (error) { return null; }
    },
    set(key, value) {
      try {
        localStorage.setItem(key, value);
      } catch (error) {
        complain(`This browser keeps no ratings (${error.name}): export before you close the page.`);
      }
    },
    ratings(name) {
      return items.map((_, item) => Number(this.get(this.of(name, item))) || null);
    },
    readers() {
      try {
        const names = Object.keys(localStorage).filter((key) => key.startsWith(prefix) && key !== prefix)
          .map((key) => decodeURIComponent(key.slice(prefix.length).split("/")[0]));
        return [...new Set(names)].sort();
      } catch (error) { return []; }
    },
  };

  function complain(text) {
    find("#problem").textContent = text;
    find("#problem").hidden = false;
  }

  /* Return what the viewer shows for an item: the input if there is one, what is rated, the reference. */
  function shownCase(item) {
    const [place, arm] = items[item], found = cases[place];
    const first = found.panels[0].title === "Input" ? 1 : 0;
    return { ...found, panels: [...found.panels.slice(0, first), found.panels[first + arm], found.panels.at(-1)] };
  }

  const numRated = () => state.ratings.filter((rating) => rating !== null).length;

  /* Return the next item without a rating, from a place on and then from the start; −1 if there is none. */
  function nextUnrated(from) {
    const later = state.ratings.findIndex((rating, item) => rating === null && item >= from);
    return later >= 0 ? later : state.ratings.indexOf(null);
  }

  async function go(item) {
    const same = ready && items[state.at][0] === items[item][0] && viewer.case ? viewer.at : null;
    state.at = item;
    storage.set(storage.of(reader, "at"), item);
    takeUp();
    ready = false;
    describe();
    const shown = shownCase(item);
    if (same) shown.at = same; // the same case again: stay at the slice
    await viewer.show(shown);
    if (state === null || state.at !== item || viewer.case !== shown) return;
    ready = true;
    describe();
    const following = nextUnrated(item + 1);
    if (following >= 0) for (const volume of acnn.volumesOf(shownCase(following))) acnn.voxelsOf(volume).catch(() => {});
  }

  function describe() {
    const { at, ratings } = state;
    find("#study").dataset.ready = ready ? at + 1 : "";
    find("#place").textContent = `Item ${at + 1} of ${items.length}, ${numRated()} rated`;
    find("progress").value = numRated();
    find("#done").hidden = numRated() < items.length;
    for (const button of document.querySelectorAll("[data-rating]")) {
      const given = Number(button.dataset.rating) === ratings[at];
      button.classList.toggle("given", given);
      button.setAttribute("aria-pressed", given);
    }
  }

  /* Take up what another tab has rated since. */
  function takeUp() {
    storage.ratings(reader).forEach((rating, item) => { if (rating !== null) state.ratings[item] = rating; });
  }

  /* Rate the item that is shown; one that is not drawn yet cannot be rated. */
  function rate(value) {
    if (!ready) return;
    const { at } = state;
    state.ratings[at] = value;
    storage.set(storage.of(reader, at), value);
    const following = nextUnrated(at + 1);
    if (following >= 0) go(following);
    else describe();
  }

  function start(name) {
    reader = name;
    state = { ratings: storage.ratings(name), at: Number(storage.get(storage.of(name, "at"))) };
    storage.set(prefix, name); // who goes on after a reload
    find("#start").hidden = true;
    find("#study").hidden = false;
    go(state.at >= 0 && state.at < items.length ? state.at : 0);
  }

  function leave() {
    try { localStorage.removeItem(prefix); } catch (error) { /* nothing was kept */ }
    reader = state = null;
    ready = false;
    find("#study").hidden = true;
    find("#start").hidden = false;
    listReaders();
  }

  function listReaders() {
    const known = storage.readers();
    find("#known").hidden = !known.length;
    find("#known ul").replaceChildren(...known.map((name) => {
      const count = storage.ratings(name).filter((rating) => rating !== null).length;
      const button = acnn.element("button", { type: "button" }, "go on");
      button.addEventListener("click", () => start(name));
      return acnn.element("li", {}, `${name}: ${count} of ${items.length} rated `, button);
    }));
  }

  function exportRatings() {
    takeUp();
    const { ratings } = state;
    const digest = sha256([study, reader, ratings.map((rating) => rating ?? "").join(",")].join("\n"));
    const exported = { kind: "acnn-nnunet reader-study", study, reader, ratings, digest };
    const address = URL.createObjectURL(new Blob([JSON.stringify(exported)], { type: "application/json" }));
    const name = `ratings_${reader.replace(/[^\p{L}\p{N}-]+/gu, "_")}_${study.slice(0, 8)}.json`;
    acnn.element("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  }

  const back = () => go((state.at + items.length - 1) % items.length);
  const forth = () => go((state.at + 1) % items.length);
  const toUnrated = () => { const item = nextUnrated(state.at + 1); if (item >= 0) go(item); };
  const actions = { before: back, after: forth, unrated: toUnrated, export: exportRatings, leave };
  for (const [name, action] of Object.entries(actions)) {
    find(`#${name}`).addEventListener("click", (event) => { event.currentTarget.blur(); action(); });
  }
  for (const button of document.querySelectorAll("[data-rating]")) {
    button.addEventListener("click", () => { button.blur(); rate(Number(button.dataset.rating)); });
  }
  find("#start form").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = event.target.reader.value.trim().normalize("NFC");
    if (name && !storage.readers().length) {
      // Now and then Chromium shows a full storage empty to a page that opens right after a crash: load once more.
      window.name = AGAIN + name; // which outlasts that
      location.reload();
    } else if (name) start(name);
  });
  document.addEventListener("keydown", (event) => {
    if (state === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const slides = event.target.type === "range";
    if (/^[1-5]$/.test(event.key)) { if (!event.repeat) rate(Number(event.key)); } // a key that is held rates once
    else if (event.key === "ArrowLeft" && !slides) back();
    else if (event.key === "ArrowRight" && !slides) forth();
    else if (!viewer.key(event)) return;
    event.preventDefault();
  });
  if (window.name.startsWith(AGAIN)) {
    const name = window.name.slice(AGAIN.length);
    window.name = "";
    start(name);
  } else if (storage.get(prefix) !== null) start(storage.get(prefix));
  else listReaders();
})();
