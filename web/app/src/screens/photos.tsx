/** Further photos of the portrait's person, which Move and Speak send along. */

import { effect, signal } from "@preact/signals";
import { PHOTOS } from "../api/options";
import type { Files } from "../api/types";
import { portrait } from "../media/portrait";
import { Chosen, Drop, Fold } from "../ui/controls";

const photos = signal<File[]>([]);

let portrayed: File | undefined;
// Photos belong to the person for whom they were chosen.
effect(() => {
  const file = portrait.value?.file;
  if (portrayed && file !== portrayed) photos.value = [];
  portrayed = file;
});

/** The photos as a request's files. */
export const photoFiles = (): Files => (photos.value.length ? { photo: photos.value } : {});

export function MorePhotos() {
  const add = (files: File[]) => (photos.value = [...photos.value, ...files].slice(0, PHOTOS));
  return (
    <Fold title="More photos of the person">
      <p class="quiet">
        Each frame is drawn from the nearest photo by the same camera, in the same room and clothes. Others help with
        teeth, eyes and the far side of the head.
      </p>
      <Drop label={`Up to ${PHOTOS} photos`} accept="image/*,.heic,.avif" several take={add} />
      {photos.value.map((file) => (
        <Chosen key={file.name} file={file} remove={() => (photos.value = photos.value.filter((other) => other !== file))} />
      ))}
    </Fold>
  );
}
