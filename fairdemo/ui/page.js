// What the page does in the browser alone: twins light up, a click opens a pair large, a bar lights up its
// faces, the tour, the link.
(() => {
  const $ = (query, root = document) => root.querySelector(query),
    all = (query, root = document) => [...root.querySelectorAll(query)];
  const make = (tag, attributes = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), attributes);
    node.append(...children);
    return node;
  };
  const words = () => JSON.parse($("#page-words")?.dataset.words ?? "{}");

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
          make("caption", { textContent: attribute }),
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
  function open(slot) {
    const pair = ["baseline", "debiased"].map((side) => $(`.tile[data-side="${side}"][data-slot="${slot}"]`));
    if (pair.some((t) => !t)) return;
    const about = pair.map((t) => JSON.parse(t.dataset.about)),
      text = words();
    const images = pair.map((t, i) =>
      make("img", { src: $("img", t).src, alt: $("img", t).alt, className: i ? "after" : "before" }),
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
        make("h4", { textContent: i ? text.debiased : text.baseline }),
        make("p", { textContent: `${a.adapter}; ${a.read}` }),
        probabilities(a),
      ),
    );
    const close = make("button", { className: "close", textContent: text.close, type: "button" });
    const go = (step) => {
      const next = +slot + step;
      if ($(`.tile[data-slot="${next}"]`)) {
        dialog.close();
        open(next);
      }
    };
    const back = make("button", {
        textContent: "‹",
        type: "button",
        ariaLabel: "previous pair",
        onclick: () => go(-1),
      }),
      on = make("button", {
        textContent: "›",
        type: "button",
        ariaLabel: "next pair",
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
      stage,
      range,
      make("div", { className: "columns" }, ...columns),
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
    if (tile) open(tile.dataset.slot);
  });
  document.addEventListener("keydown", (event) => {
    const tile = event.target.closest?.(".tile[data-slot]");
    if (tile && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      open(tile.dataset.slot);
    }
    if (event.key === "Escape") light(null);
  });

  // A bar's faces: the others fade. The same bar again, or Escape, ends it.
  let lit = null;
  function light(bar) {
    lit = bar && JSON.stringify(bar) === JSON.stringify(lit) ? null : bar;
    all(".tile[data-slot]").forEach((t) =>
      t.classList.toggle(
        "dim",
        !!lit && !(t.dataset.side === lit.side && t.dataset[lit.attribute] === lit.name),
      ),
    );
    if (lit)
      $(`#wall-${lit.side}`)?.scrollIntoView({
        block: "nearest",
        behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth",
      });
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

  // The tour, once for each browser.
  const STOPS = ["#ask", "#wish", "#walls", "#measured"];
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
      all(".toured").forEach((n) => n.classList.remove("toured"));
      localStorage.setItem("fairdemo-toured", "1");
    };
    const step = () => {
      if (++stop >= STOPS.length) return end();
      all(".toured").forEach((n) => n.classList.remove("toured"));
      $(STOPS[stop])?.classList.add("toured");
      line.textContent = `${stop + 1} / ${STOPS.length}  ${text[`tour_${stop + 1}`]}`;
      next.textContent = stop + 1 < STOPS.length ? text.next : text.start;
    };
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
    if (!started && $("#draw") && $("#page-words")) {
      started = true;
      const text = words();
      all("[data-say]").forEach((n) => (n.textContent = text[n.dataset.say]));
      all("[data-say-title]").forEach((n) => (n.title = text[n.dataset.sayTitle]));
      if (!localStorage.getItem("fairdemo-toured")) tour();
    }
  }).observe(document.documentElement, {
    childList: true,
    subtree: true,
    attributes: true,
    attributeFilter: ["data-query"],
  });
})();
