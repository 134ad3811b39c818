// Photos come in: dropped anywhere, pasted, chosen, or taken with the camera.

import { Problem } from "./api.js";

export const PHOTOS = 8; // of one thing, searched together
const LIGHT_BYTES = 2_000_000; // what is sent as it is
const LONG_SIDE = 2048; // of a photo made lighter: far more than the search looks at

const part = (id) => document.getElementById(id);

/** Call `take(files)` for photos that come in, and `refuse(problem)` for what cannot be searched with. */
export function listen(take, refuse) {
  const given = (files) => {
    if (files.length > PHOTOS) {
      refuse(
        new Problem(
          422,
          "Too many photos",
          `These are ${files.length}; up to ${PHOTOS} photos of the same thing can be searched together.`,
        ),
      );
    } else if (files.length) take([...files]);
  };
  for (const [opener, input] of [
    ["choose", "files"],
    ["again", "files"],
    ["take", "camera"],
  ]) {
    part(opener).addEventListener("click", () => open(input));
  }
  for (const input of ["files", "camera"]) {
    part(input).addEventListener("change", ({ target }) => {
      given([...target.files]);
      target.value = ""; // so that the same photo can be chosen again
    });
  }
  document.addEventListener("paste", (event) => given([...(event.clipboardData?.files ?? [])]));
  dropping(given, refuse);
}

/** Open the chooser ("files") or the camera ("camera"). */
export const open = (input) => part(input).click();

function dropping(given, refuse) {
  const holds = (event, type) => event.dataTransfer?.types.includes(type);
  const show = (on) => (part("drop").hidden = !on);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    show(holds(event, "Files") || holds(event, "text/uri-list"));
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? show(false));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    show(false);
    if (event.dataTransfer.files.length) given([...event.dataTransfer.files]);
    else
      refuse(
        new Problem(
          415,
          "That was no photo",
          "A link or text was dropped. Save the picture first, then drop its file here.",
        ),
      );
  });
}

/** Show what is searched with while it is sent: {url, width, height, count}; without `url` where it cannot be shown. */
export async function preview(files) {
  const image = new Image();
  image.src = URL.createObjectURL(files[0]);
  try {
    await image.decode();
    return { url: image.src, width: image.naturalWidth, height: image.naturalHeight, count: files.length };
  } catch {
    URL.revokeObjectURL(image.src);
    return { url: null, width: 1, height: 1, count: files.length }; // the service may know better
  }
}

/** Make a heavy photo light enough for a phone's connection; what cannot be read is left as it is. */
export async function light(file) {
  if (file.size <= LIGHT_BYTES) return file;
  try {
    const photo = await createImageBitmap(file); // upright, as its EXIF says
    const scale = Math.min(1, LONG_SIDE / Math.max(photo.width, photo.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(photo.width * scale);
    canvas.height = Math.round(photo.height * scale);
    const paper = canvas.getContext("2d");
    paper.fillStyle = "#fff"; // JPEG has no transparency
    paper.fillRect(0, 0, canvas.width, canvas.height);
    paper.drawImage(photo, 0, 0, canvas.width, canvas.height);
    photo.close();
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
    return blob ? new File([blob], file.name, { type: blob.type }) : file;
  } catch {
    return file;
  }
}

/** Offer to enter the address of a photo; `done(address)` is called with each. */
export function offer(form, done) {
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    done(new FormData(form).get("url"));
  });
}
