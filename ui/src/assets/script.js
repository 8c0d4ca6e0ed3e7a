// What the pages have more with a script. Every page works without it.
"use strict";
(() => {
  const each = (selector, act, root = document) => root.querySelectorAll(selector).forEach(act);
  // A zone that somebody typed is kept by the session; a browser may not know it.
  const clock = (timeZone) => new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium", timeZone });
  let zone = document.body.dataset.zone || Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  let shape;
  try { shape = clock(zone); } catch { shape = clock(zone = "UTC"); }
  const local = (time) => shape.format(time);
  const showTimes = (root) =>
    each("time[datetime]", (shown) => {
      const time = new Date(shown.dateTime);
      if (Number.isNaN(time.getTime())) return;
      shown.title = shown.title || shown.textContent;
      shown.textContent = local(time) + (shown.dataset.zoned === undefined ? "" : ` ${zone}`);
    }, root);
  showTimes(document);
  each("[data-zone-note]", (note) => { note.textContent = `Times are in your zone (${zone}).`; });
  each("[data-own-zone] input", (field) => { field.value = zone; });
  const offer = (field, names) => {
    const list = document.createElement("datalist");
    list.id = `${field.id}-names`;
    list.append(...names.map((name) => new Option(name)));
    field.after(list);
    field.setAttribute("list", list.id);
  };
  const read = async (address) =>
    new DOMParser().parseFromString(await (await fetch(address, { redirect: "error" })).text(), "text/html");
  each("#zone", (field) => offer(field, Intl.supportedValuesOf?.("timeZone") || []));
  // Days are those of the visitor, where nobody has said whose.
  each("a[href^='/ui/clicks']:not([href*='/export']), a[href^='/ui/link/edit']", (link) => {
    const way = new URL(link.href);
    if (way.searchParams.has("zone")) return;
    way.searchParams.set("zone", zone);
    link.setAttribute("href", way.pathname + way.search);
  });

  each("[data-copy]", (button) => {
    button.hidden = false;
    const word = button.textContent;
    const name = button.getAttribute("aria-label");
    // Its name begins with the word that is seen.
    const say = (now) => { button.textContent = now; button.setAttribute("aria-label", name.replace(word, now)); };
    button.addEventListener("click", async () => {
      let done = true;
      try {
        await navigator.clipboard.writeText(button.dataset.copy);
      } catch {
        // Beyond loopback a page without TLS has no clipboard: a selected field is copied the old way.
        const field = document.createElement("textarea");
        field.value = button.dataset.copy;
        button.after(field);
        field.select();
        done = document.execCommand("copy");
        field.remove();
        button.focus();
      }
      say(done ? "Copied" : "Not copied");
      setTimeout(() => say(word), 2000);
    });
  });

  each("form", (form) => {
    const [alls, picks] = ["[data-pick-all]", "[name=pick]"].map((what) => [...form.querySelectorAll(what)]);
    const every = () => picks.every((pick) => pick.checked);
    const show = () => alls.forEach((all) => {
      all.hidden = false;
      all.checked = every();
      if (all.type === "button") all.textContent = all.checked ? "Select none" : "Select all on this page";
    });
    alls.forEach((all) => all.addEventListener("click", () => {
      const on = !every();
      picks.forEach((pick) => { pick.checked = on; });
      show();
    }));
    picks.forEach((pick) => pick.addEventListener("change", show));
    show();
  });

  // Tags are asked for when somebody is about to type one.
  each("[data-tags]", (field) => {
    field.addEventListener("focus", async () => {
      const domain = field.form.elements.namedItem("domain")?.value || "";
      if (domain === "*") return;
      try {
        const page = await read(`/ui/tags?${new URLSearchParams({ domain })}`);
        offer(field, [...page.querySelectorAll("main a.tag")].map((tag) => tag.textContent));
      } catch { /* A tag is typed without help then. */ }
    }, { once: true });
  });

  each("[data-check]", (place) => {
    const field = place.querySelector("input");
    const says = place.querySelector("[data-check-says]");
    let wait;
    let asked = 0;
    field.addEventListener("input", () => {
      clearTimeout(wait);
      wait = setTimeout(async () => {
        const mine = ++asked;
        const domain = field.form.elements.namedItem("domain");
        const query = new URLSearchParams({ code: field.value, domain: domain?.value || "" });
        let text = "";
        try {
          const answer = await fetch(`${place.dataset.check}?${query}`, { redirect: "error" });
          text = answer.ok ? await answer.text() : "";
        } catch {
          text = "The code cannot be checked now.";
        }
        if (mine === asked) says.textContent = text;
      }, 250);
    });
  });

  each("table[data-sort]", (table) => {
    const body = table.tBodies[0];
    each("thead th", (head, at) => {
      if (head.dataset.nosort !== undefined) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "quiet";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "descending";
        each("thead th", (other) => other.removeAttribute("aria-sort"), table);
        head.setAttribute("aria-sort", down ? "ascending" : "descending");
        const value = (row) => row.cells[at].dataset.value || row.cells[at].textContent.trim();
        const order = (one, other) => value(one).localeCompare(value(other), "en", { numeric: true });
        const rows = [...body.rows].sort(order);
        body.append(...(down ? rows : rows.reverse()));
      });
    }, table);
  });

  each("[data-watch]", (place) => {
    place.hidden = false;
    const [button, says] = [place.querySelector("button"), place.querySelector("[data-watch-says]")];
    const table = place.querySelector("table");
    const total = document.querySelector("[data-watch-total]");
    let stop, seen, missed;
    const show = ({ clicks = [], missed: more = 0 }) => {
      seen += clicks.length;
      missed += Number(more);
      says.textContent = `${seen} clicks since you began to watch` + (missed ? `, and ${missed} of the domain that were too many to show.` : ".");
      if (total) total.textContent = (Number(total.dataset.watchTotal) + seen).toLocaleString("en");
      for (const click of clicks.slice(-10)) {
        const row = table.tBodies[0].insertRow(0);
        const cells = [local(new Date(click.time)), click.code, click.kind, click.country, click.browser, click.referrer];
        cells.forEach((text, at) => {
          const cell = row.insertCell();
          cell.textContent = text || "–";
          cell.dataset.label = table.tHead.rows[0].cells[at].textContent;
        });
        table.hidden = false;
        if (table.tBodies[0].rows.length > 10) table.tBodies[0].deleteRow(10);
      }
    };
    const watch = async () => {
      stop = new AbortController();
      [seen, missed] = [0, 0];
      try {
        const answer = await fetch(place.dataset.watch, { signal: stop.signal, redirect: "error" });
        if (!answer.ok) throw new Error(await answer.text());
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        let rest = "";
        for (let part = await reader.read(); !part.done; part = await reader.read()) {
          const lines = (rest + part.value).split("\n");
          rest = lines.pop();
          lines.forEach((line) => show(JSON.parse(line)));
        }
        says.textContent = "The watch has ended: load the page again.";
      } catch (fault) {
        if (fault.name !== "AbortError") says.textContent = `Clicks cannot be watched now. ${fault.message}`;
      }
      button.setAttribute("aria-pressed", "false");
    };
    // A browser has few connections to a host: a page that nobody looks at keeps none.
    const set = (on) => {
      if (stop) stop.abort();
      button.setAttribute("aria-pressed", on);
      if (on) watch(); else says.textContent = "You do not watch.";
    };
    button.addEventListener("click", () => set(button.getAttribute("aria-pressed") !== "true"));
    document.addEventListener("visibilitychange", () => { if (document.hidden && button.getAttribute("aria-pressed") === "true") set(false); });
  });

  each("[data-file]", (place) => {
    place.hidden = false;
    place.querySelector("input").addEventListener("change", async ({ target }) => {
      const { rows, name } = target.form.elements;
      if (!target.files[0]) return;
      rows.value = await target.files[0].text();
      name.value = target.files[0].name;
    });
  });
  each("[data-go-on]", (form) => form.requestSubmit());

  // What is live is fetched again, while somebody looks and has nothing of it in his hands.
  each("[data-live]", (live) => {
    const note = document.querySelector("[data-live-note]");
    const now = () => local(new Date()).slice(11);
    let last = now();
    setInterval(async () => {
      if (document.hidden || live.contains(document.activeElement)) return;
      try {
        const page = await read(location.href);
        const open = [...live.querySelectorAll("details[open]")].map((one) => one.id);
        live.replaceChildren(...page.querySelector("[data-live]").childNodes);
        open.forEach((id) => { const one = document.getElementById(id); if (one) one.open = true; });
        showTimes(live);
        last = now();
        note.textContent = `Refreshed at ${last}.`;
      } catch {
        note.textContent = `Not refreshed since ${last}: the server does not answer. Load the page again.`;
      }
    }, live.dataset.live * 1000);
  });

  // A form is sent once.
  each("form[method=post]", (form) => {
    form.addEventListener("submit", () => {
      setTimeout(() => each("button", (button) => { button.disabled = true; }, form), 0);
    });
  });
  window.addEventListener("pageshow", () => each("form button", (button) => { button.disabled = false; }));
})();
