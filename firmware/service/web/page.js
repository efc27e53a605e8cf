// What makes pages handier: keys in lists of results, and figures that are asked for again. Every page works without it.
"use strict";

// 10 seconds between two looks at the figures, as long as somebody may look at them.
const LOOK_EVERY_MS = 10000;
// 30 minutes: a page that was left open does not keep its session from ending.
const LOOKS_MAX = 180;

function hits() {
  return Array.from(document.querySelectorAll("ol.hits a.hit"));
}

function moveBy(steps) {
  const all = hits();
  const here = all.indexOf(document.activeElement);
  const next = here < 0 ? (steps > 0 ? 0 : all.length - 1) : here + steps;
  if (all.length === 0 || next < 0 || next >= all.length) return false;
  all[next].focus();
  return true;
}

function isTyping(element) {
  return element.matches("input, select, textarea, [contenteditable]");
}

function press(name) {
  const target = document.querySelector(`[data-key="${name}"]`);
  if (!target) return false;
  if (isTyping(target)) {
    target.focus();
    target.select();
  } else {
    target.click();
  }
  return true;
}

function act(event) {
  const focused = document.activeElement;
  if (isTyping(focused)) {
    const isSearch = focused.matches("[data-key=search]");
    if (event.key === "Escape") return focused.blur(), true;
    return event.key === "ArrowDown" && isSearch && moveBy(1);
  }
  switch (event.key) {
    case "/": return press("search");
    case "j": return moveBy(1);
    case "k": return moveBy(-1);
    case "ArrowDown": return hits().includes(focused) && moveBy(1);
    case "ArrowUp": return hits().includes(focused) && moveBy(-1);
    case "n": return press("next");
    case "p": return press("before");
    case "Escape": return press("back");
  }
  return false;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (act(event)) event.preventDefault();
});

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}

// Spreadsheets on Windows write UTF-8 or the character set of old.
function decoded(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

for (const picker of document.querySelectorAll("[data-into]")) {
  picker.closest("[hidden]").hidden = false;
  picker.addEventListener("change", async () => {
    const file = picker.files[0];
    if (file) document.getElementById(picker.dataset.into).value = decoded(await file.arrayBuffer());
  });
}

// A file goes up in pieces that fit into forms, one after the other; what the server then says of it takes the place of the page.
async function upload(form, file, progress) {
  const pieceBytes = Number(form.dataset.upload);
  const fields = new URLSearchParams(new FormData(form));
  fields.set("length", file.size);
  for (let offset = 0; offset < file.size; offset += pieceBytes) {
    const piece = new Uint8Array(await file.slice(offset, offset + pieceBytes).arrayBuffer());
    fields.set("offset", offset);
    fields.set("piece", btoa(String.fromCharCode(...piece)).replaceAll("+", "-").replaceAll("/", "_"));
    const response = await fetch(form.action, { method: "POST", body: fields, redirect: "error" });
    const isLast = offset + pieceBytes >= file.size;
    if (!response.ok || isLast) return response.text();
    progress.value = offset / file.size;
  }
  return null;
}

function watchUploads() {
  for (const form of document.querySelectorAll("form[data-upload]")) {
    form.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const [button, progress] = [form.querySelector("button"), form.querySelector("progress")];
      [button.disabled, progress.hidden] = [true, false];
      const html = await upload(form, form.querySelector("[type=file]").files[0], progress).catch(() => null);
      if (html === null) return location.reload();
      const fresh = new DOMParser().parseFromString(html, "text/html");
      document.querySelector("main").replaceWith(fresh.querySelector("main"));
      watchUploads();
    });
  }
}

watchUploads();

let looks = 0;

async function look() {
  if (document.hidden || looks++ >= LOOKS_MAX) return;
  const response = await fetch(location.href, { redirect: "error" }).catch(() => null);
  if (!response || !response.ok) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const now = fresh.querySelector(`[data-live="${old.dataset.live}"]`);
    if (now && now.innerHTML !== old.innerHTML) old.replaceWith(now);
  }
}

if (document.querySelector("[data-live]")) setInterval(look, LOOK_EVERY_MS);
