// What the page does in the browser alone: parts that a slider changes are patched in, twins light up, a
// click opens a pair large, a bar lights up its faces, the sheet, Present, the guess, the tour, the link.
(() => {
  const $ = (query, root = document) => root.querySelector(query),
    all = (query, root = document) => [...root.querySelectorAll(query)];
  const make = (tag, attributes = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), attributes);
    node.append(...children);
    return node;
  };
  const words = () => JSON.parse($("#page-words")?.dataset.words ?? "{}");

  // Makes one node like another without replacing what stays, so that nothing flickers and bars glide.
  function patch(old, fresh) {
    for (const { name, value } of [...fresh.attributes])
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    const [now, next] = [[...old.childNodes], [...fresh.childNodes]];
    next.forEach((node, i) => {
      const here = now[i];
      if (!here) old.append(node);
      else if (here.nodeName !== node.nodeName) here.replaceWith(node);
      else if (node.nodeType === 1) patch(here, node);
      else if (here.nodeValue !== node.nodeValue) here.nodeValue = node.nodeValue;
    });
    now.slice(next.length).forEach((node) => node.remove());
  }
  // Parts of the page by place, as the server renders them.
  function show(parts) {
    for (const [place, html] of Object.entries(parts)) {
      const old = $(`#${place} :is(section, .slid, .prose)`),
        fresh = make("template", { innerHTML: html }).content.firstElementChild;
      if (!old || !fresh) continue;
      if (place === "status") {
        const line = $("p", old);
        if (line) line.textContent = fresh.textContent.trim();
      } else patch(old, fresh);
    }
  }
  window.fairdemo = { show };

  // Twins: the same slot on both walls.
  const twin = (event) => {
    const tile = event.target.closest?.(".tile[data-slot]");
    all(".tile.twin").forEach((t) => t.classList.remove("twin"));
    if (tile) all(`.tile[data-slot="${tile.dataset.slot}"]`).forEach((t) => t.classList.add("twin"));
  };
  document.addEventListener("mouseover", twin);
  document.addEventListener("focusin", twin);

  // A pair, large: both images under one slider, what the classifier said of each below.
  function probabilities(about) {
    return make(
      "div",
      { className: "probabilities" },
      ...Object.entries(about.probability).map(([attribute, shares]) =>
        make(
          "table",
          {},
          make("caption", { textContent: words()[attribute] ?? attribute }),
          ...Object.entries(shares).map(([name, p]) => {
            const bar = make("i");
            bar.style.width = `${100 * p}%`;
            return make(
              "tr",
              {},
              make("th", { textContent: name }),
              make("td", {}, bar),
              make("td", { textContent: `${Math.round(100 * p)} %` }),
            );
          }),
        ),
      ),
    );
  }
  // The pair of a tile: its wall and the baseline's of its tab; of the baseline's, the first other wall.
  function open(slot, wall) {
    const own = `.tile[data-slot="${slot}"]`,
      tab = wall.closest(".tabitem") ?? document;
    const other = `${own}[data-side="debiased"]`,
      after = $(other, wall) ?? $(other, tab);
    const pair = [$(`${own}[data-side="baseline"]`, tab), after];
    if (pair.some((t) => !t)) return;
    const shown = after.closest(".wall").dataset.title || words().debiased;
    const about = pair.map((t) => JSON.parse(t.dataset.about)),
      text = words();
    const images = pair.map((t, i) =>
      make("img", { src: $("img", t).src, alt: t.title, className: i ? "after" : "before" }),
    );
    const stage = make("div", { className: "stage" }, ...images);
    const range = make("input", {
      type: "range",
      min: 0,
      max: 100,
      value: 50,
      ariaLabel: `${text.baseline} | ${text.debiased}`,
    });
    const cut = () => [
      stage.style.setProperty("--cut", `${range.value}%`),
      range.style.setProperty("--at", `${range.value}%`),
    ];
    range.addEventListener("input", cut);
    cut();
    const columns = about.map((a, i) =>
      make(
        "section",
        {},
        make("h4", { textContent: i ? shown : text.baseline }),
        make("p", { textContent: [a.adapter, a.read, a.several].filter(Boolean).join("; ") }),
        probabilities(a),
      ),
    );
    const close = make("button", { className: "close", textContent: text.close, type: "button" });
    const go = (step) => {
      const next = +slot + step;
      if ($(`.tile[data-slot="${next}"]`, wall)) {
        dialog.close();
        open(next, wall);
      }
    };
    const back = make("button", {
        textContent: "‹",
        type: "button",
        ariaLabel: text.previous_pair,
        onclick: () => go(-1),
      }),
      on = make("button", {
        textContent: "›",
        type: "button",
        ariaLabel: text.next_pair,
        onclick: () => go(1),
      });
    const dialog = make(
      "dialog",
      { className: "pair" },
      make(
        "header",
        {},
        back,
        make("h3", { textContent: `${about[0].title}, seed ${about[0].seed}` }),
        on,
        close,
      ),
      make(
        "div",
        { className: "body" },
        make("div", { className: "large" }, stage, range),
        make(
          "div",
          { className: "columns" },
          make("p", { className: "why", textContent: about[1].why }),
          ...columns,
        ),
      ),
    );
    close.onclick = () => dialog.close();
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      pair[0].focus({ preventScroll: true });
    });
    document.querySelector(".gradio-container").append(dialog);
    dialog.showModal();
    range.focus();
  }
  document.addEventListener("click", (event) => {
    const tile = event.target.closest(".tile[data-slot]");
    if (tile) open(tile.dataset.slot, tile.closest(".wall"));
  });
  document.addEventListener("keydown", (event) => {
    const tile = event.target.closest?.(".tile[data-slot]");
    if (tile && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      open(tile.dataset.slot, tile.closest(".wall"));
    }
    if (event.key === "Escape") light(null);
  });

  // A bar's faces: the others fade. The same bar again, or Escape, ends it.
  let lit = null;
  function light(bar) {
    lit = bar && JSON.stringify(bar) === JSON.stringify(lit) ? null : bar;
    all(".tile[data-slot]").forEach((t) =>
      t.classList.toggle("dim", !!lit && t.dataset[lit.attribute] !== lit.name),
    );
    all("button.bar").forEach((b) =>
      b.classList.toggle(
        "lit",
        !!lit && b.dataset.attribute === lit.attribute && b.dataset.name === lit.name,
      ),
    );
  }
  document.addEventListener("click", (event) => {
    const bar = event.target.closest("button.bar");
    if (bar) light({ attribute: bar.dataset.attribute, name: bar.dataset.name });
  });

  // The settings, the sheet of the phone, and Present.
  const root = document.documentElement;
  const toggle = (name, on = !root.classList.contains(name)) => root.classList.toggle(name, on);
  document.addEventListener("click", (event) => {
    if (event.target.closest("#show-settings")) toggle("settings-open");
    else if (!event.target.closest("#settings, [role=listbox], .options")) toggle("settings-open", false);
    const grip = event.target.closest("#handle .grip");
    if (grip) grip.setAttribute("aria-expanded", toggle("sheet-open"));
    if (event.target.closest("#present")) present(true);
  });
  function present(on = !root.classList.contains("presenting")) {
    toggle("presenting", on);
    if (on) root.requestFullscreen?.().catch(() => {});
    else if (document.fullscreenElement) document.exitFullscreen();
  }
  document.addEventListener("fullscreenchange", () => {
    if (!document.fullscreenElement) toggle("presenting", false);
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches(
      "input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea",
    );
    if (event.key === "Escape") [toggle("settings-open", false), present(false)];
    if (event.key.toLowerCase() === "p" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey)
      present();
  });

  // The guess, asked once before the first wall is seen, drawn into the bars, remembered.
  const GUESS = "fairdemo-guess";
  function guessed() {
    const share = store.get(GUESS);
    root.classList.toggle("guessed", !!share && share !== "skipped");
    if (share) root.style.setProperty("--guess", `${share}%`);
  }
  function guess(then) {
    const text = words(),
      n = 16;
    const end = (share) => {
      store.set(GUESS, share);
      root.classList.remove("guessing");
      card.remove();
      guessed();
      then();
    };
    // The slider stands nowhere until it is set: an answer that is there already draws guesses to itself.
    const shown = make("output", { textContent: `– / ${n}` }),
      range = make("input", { type: "range", min: 0, max: n, className: "unset", ariaLabel: text.guess });
    range.ariaValueText = "–";
    const say = make("button", {
      type: "button",
      className: "primary",
      disabled: true,
      textContent: text.guess_say,
    });
    const set = () => {
      range.classList.remove("unset");
      range.ariaValueText = null;
      say.disabled = false;
      shown.textContent = `${range.value} / ${n}`;
    };
    for (const kind of ["input", "pointerup"]) range.addEventListener(kind, set);
    const skip = make("button", { type: "button", className: "skip", textContent: text.skip });
    say.onclick = () => end((100 * range.value) / n);
    skip.onclick = () => end("skipped");
    const card = make(
      "aside",
      { className: "guess-card", role: "dialog", ariaLabel: text.guess },
      make("p", { textContent: text.guess }),
      make("div", {}, range, shown),
      make("div", {}, skip, say),
    );
    card.addEventListener("keydown", (event) => {
      if (event.key === "Escape") end("skipped");
    });
    root.classList.add("guessing");
    $("#stage").append(card);
    range.focus({ preventScroll: true });
  }

  const dress = () =>
    all("[id^=plot-]").forEach((box) => {
      const plot = $(".js-plotly-plot", box),
        attribute = box.id.slice(5);
      if (!plot || !plot.on || plot.dataset.dressed) return;
      plot.dataset.dressed = "1";
      plot.setAttribute("role", "img");
      plot.setAttribute(
        "aria-label",
        `Histogram of ${attribute}, baseline and debiased; the numbers are in the text below`,
      );
      plot.on("plotly_click", ({ points: [p] }) => {
        if (p.data.type === "bar") light({ side: p.data.meta, attribute, name: p.x });
      });
    });

  // The link in the address bar, so that reloading or copying it brings the comparison back.
  function address() {
    const link = $("#share-link")?.dataset.query;
    if (link && link !== location.search) history.replaceState(null, "", link);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("#copy-link");
    if (!button) return;
    // The clipboard's newer interface is closed to pages on a plain http address.
    const field = make("textarea", { value: location.href });
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    const before = button.textContent;
    button.textContent = words().copied;
    setTimeout(() => (button.textContent = before), 1500);
  });

  // A wall's file; where it can't be had, why, in the page.
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a#download");
    if (!link) return;
    event.preventDefault();
    if (link.classList.contains("disabled") || link.classList.contains("busy")) return;
    link.classList.add("busy");
    try {
      const answer = await fetch(link.href);
      if (!answer.ok) throw new Error(await answer.text());
      const named = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition")),
        name = named?.[1] ?? "fairdemo.zip",
        href = URL.createObjectURL(await answer.blob());
      make("a", { href, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(href), 60000);
    } catch (error) {
      $("#status p")?.replaceChildren(error.message.slice(0, 300));
    }
    link.classList.remove("busy");
  });

  // The tour, once for each browser.
  const STOPS = ["#ask", "#wish", "#walls", "#seen"];
  function tour() {
    const text = words();
    let stop = -1;
    const line = make("p"),
      next = make("button", { type: "button" }),
      skip = make("button", { type: "button", textContent: text.skip, className: "skip" });
    const box = make(
      "aside",
      { className: "tour", role: "dialog", ariaLabel: "fairdemo" },
      line,
      make("div", {}, skip, next),
    );
    const end = () => {
      box.remove();
      document.removeEventListener("click", leave, true);
      all(".toured").forEach((n) => n.classList.remove("toured"));
      store.set("fairdemo-toured", "1");
    };
    const step = () => {
      if (++stop >= STOPS.length) return end();
      all(".toured").forEach((n) => n.classList.remove("toured"));
      $(STOPS[stop])?.classList.add("toured");
      line.textContent = `${stop + 1} / ${STOPS.length}  ${text[`tour_${stop + 1}`]}`;
      next.textContent = stop + 1 < STOPS.length ? text.next : text.start;
    };
    // Whoever draws or turns to another tab has no use for it.
    const leave = (event) => event.target.closest("#draw, [role=tab]") && end();
    document.addEventListener("click", leave, true);
    next.onclick = step;
    skip.onclick = end;
    box.addEventListener("keydown", (event) => {
      if (event.key === "Escape") end();
    });
    document.querySelector(".gradio-container").append(box);
    step();
  }
  document.addEventListener("click", (event) => {
    if (event.target.closest("#show-tour")) tour();
  });
  let started = false;
  new MutationObserver(() => {
    dress();
    address();
    if (!started && $("#draw") && $("#page-words") && $("#mixer .mixer") && $("#stage")) {
      started = true;
      const text = words();
      all("[data-say]").forEach((n) => (n.textContent = text[n.dataset.say]));
      all("[data-say-title]").forEach((n) => {
        n.title = text[n.dataset.sayTitle];
        if (n.tagName !== "BUTTON") return;
        n.setAttribute(
          "aria-label",
          [text[n.dataset.sayTitle], n.closest(".share")?.innerText.trim()].join(" "),
        );
      });
      const called = { die: "roll", "show-settings": "settings", present: "present" };
      for (const [id, key] of Object.entries(called)) {
        const button = $(`#${id}`);
        if (button) [button.title, button.ariaLabel] = [text[key], text[key]];
      }
      all("#mixer .share").forEach((n) =>
        $("input", n).setAttribute("aria-label", `${$(".name", n).innerText}, ${text.target}`),
      );
      for (const key of ["pairs", "method"]) root.style.setProperty(`--${key}`, JSON.stringify(text[key]));
      guessed();
      const tourOnce = () => store.get("fairdemo-toured") || tour();
      store.get(GUESS) ? tourOnce() : guess(tourOnce);
    }
  }).observe(document.documentElement, {
    childList: true,
    subtree: true,
    attributes: true,
    attributeFilter: ["data-query"],
  });
})();
