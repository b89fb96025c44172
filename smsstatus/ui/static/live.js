// Keeps an open page fresh: asks for it again with its ETag, and patches what differs in place.
// It also writes times as local or relative ones, and names the zone in a cookie, so that days and
// filters are local. Without it every page works the same, in UTC.
"use strict";

(() => {
  const SLOWEST = 60;
  const page = document.getElementById("main");
  const heard = document.getElementById("heard");
  let every = Number(page.dataset.poll);
  let failures = 0;
  let heardAt = Date.now();
  let ahead = 0; // the server's clock less this one's, in ms
  let timer = 0;
  let asking = null;

  // Times

  const format = (options) => new Intl.DateTimeFormat(undefined, options);
  const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const date = { day: "numeric", month: "short" };
  const formats = {
    full: format({ ...date, year: "numeric", ...clock, second: "2-digit" }),
    precise: format({ ...date, ...clock, second: "2-digit", fractionalSecondDigits: 3 }),
    minute: format({ ...date, ...clock }),
    clock: format(clock),
    date: format(date),
  };

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const writeZone = () => {
    const { days: shown } = (page.querySelector("[data-days]") ?? page).dataset;
    const isUtc = shown === "UTC" && zone !== "UTC"; // the server does not know ours, or not yet
    const days = isUtc ? " Days and filters are UTC." : "";
    const text = `Times are local (${zone}); UTC is in their tooltips.${days}`;
    setText(document.getElementById("zone"), text);
  };

  const gone = (milliseconds) => {
    const seconds = Math.round(milliseconds / 1000);
    if (seconds < 2) return "just now";
    if (seconds < 60) return `${seconds} s ago`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
    return "";
  };

  const written = (moment, show) => {
    if (show === "ago") {
      const age = Date.now() + ahead - moment;
      return gone(age) || (age < 25e9 ? formats.minute : formats.full).format(moment);
    }
    return formats[show].format(moment);
  };

  const setText = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };

  const writeTime = (element) => {
    const moment = new Date(element.dateTime);
    if (Number.isNaN(moment.getTime())) return;
    setText(element, written(moment, element.dataset.show));
    const utc = `${element.dateTime.replace("T", " ").replace("Z", "")} UTC`;
    const local = element.dataset.show === "ago" ? `${formats.full.format(moment)} · ` : "";
    element.title = local + utc;
  };

  const writeTimes = () => {
    document.querySelectorAll("time[data-show]").forEach(writeTime);
    for (const bar of document.querySelectorAll("a[data-since]")) {
      const [since, until] = [bar.dataset.since, bar.dataset.until].map((text) => new Date(text));
      const isDay = bar.dataset.show === "date";
      const clocks = `${formats.minute.format(since)} – ${formats.clock.format(until)}`;
      const span = isDay ? formats.date.format(since) : clocks;
      setText(bar.querySelector("title"), `${span}: ${bar.dataset.text}`);
    }
  };

  const tick = () => {
    document.querySelectorAll("time[data-show=ago]").forEach(writeTime);
    if (!every) return;
    const ago = gone(Date.now() - heardAt);
    setText(heard, failures ? `No answer; last heard ${ago || "long ago"}` : `Live · heard ${ago}`);
    heard.classList.toggle("lost", failures > 0);
  };

  // Patching: nodes that stay the same are kept, so focus, selection and open details are too.

  const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.dataset.key : undefined);

  const alike = (one, other) =>
    one.nodeType === other.nodeType && one.nodeName === other.nodeName && keyOf(one) === keyOf(other);

  const patchAttributes = (old, fresh) => {
    const isOpen = (name) => old.nodeName === "DETAILS" && name === "open"; // the reader's choice
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !isOpen(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value && !isOpen(name)) old.setAttribute(name, value);
    }
  };

  const sameTime = (old, fresh) =>
    old.nodeName === "TIME" &&
    old.dateTime === fresh.dateTime &&
    old.dataset.show === fresh.dataset.show;

  const patch = (old, fresh) => {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    if (sameTime(old, fresh) || "keep" in old.dataset) return;
    patchAttributes(old, fresh);
    patchChildren(old, fresh);
  };

  const partner = (start, fresh) => {
    const key = keyOf(fresh);
    if (key === undefined) return start && alike(start, fresh) ? start : null;
    for (let node = start; node; node = node.nextSibling) if (alike(node, fresh)) return node;
    return null;
  };

  const patchChildren = (old, fresh) => {
    let next = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      const found = partner(next, child);
      if (found === null) {
        old.insertBefore(document.importNode(child, true), next);
        continue;
      }
      while (next !== found) next = removed(next);
      patch(found, child);
      next = found.nextSibling;
    }
    while (next) next = removed(next);
  };

  const removed = (node) => {
    const next = node.nextSibling;
    node.remove();
    return next;
  };

  // Polling

  const show = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const main = fresh.getElementById("main");
    if (!main) return false;
    patch(page, main);
    document.title = fresh.title;
    every = Number(page.dataset.poll);
    writeTimes();
    writeZone();
    return true;
  };

  const ask = async () => {
    asking = new AbortController();
    const patience = setTimeout(() => asking.abort(), 15000);
    try {
      const answer = await fetch(location.href, {
        headers: { "If-None-Match": `"${page.dataset.etag}"` },
        cache: "no-store",
        signal: asking.signal,
      });
      const known = answer.status === 304 || show(await answer.text());
      if (!known) throw new Error("not a page");
      ahead = Date.parse(answer.headers.get("Date")) - Date.now() || 0;
      if (Math.abs(ahead) < 2000) ahead = 0; // the header has whole seconds
      heardAt = Date.now();
      failures = 0;
    } catch {
      failures += 1;
    } finally {
      clearTimeout(patience);
      asking = null;
      tick();
      plan();
    }
  };

  const plan = () => {
    clearTimeout(timer);
    if (document.hidden || !every) return;
    timer = setTimeout(ask, Math.min(every * 2 ** failures, SLOWEST) * 1000);
  };

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden && every && !asking) ask();
  });

  const root = new URL(document.querySelector(".brand").href).pathname;
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `zone=${zone}; path=${root}; max-age=31536000; samesite=strict${secure}`;
  writeTimes();
  writeZone();
  tick();
  setInterval(() => document.hidden || tick(), 1000);
  if (every) ask();
})();
