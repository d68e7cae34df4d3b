/** A person file, as `gioconda adapt` writes it: safetensors that hold the photos of one person as JPEG. */

const KIND = "gioconda person";
const FIRST_PHOTO = "picture.0";
// Bytes of the header's length at the start of the file, and of the longest header that is read.
const LENGTH_BYTES = 8;
const HEADER_BYTES = 2 ** 20;

interface Header {
  __metadata__?: { kind?: string };
  [FIRST_PHOTO]?: { data_offsets?: [number, number] };
}

/** The first photo of a person file; null for every other file. */
export async function photoIn(file: Blob): Promise<Blob | null> {
  const start = await file.slice(0, LENGTH_BYTES).arrayBuffer();
  if (start.byteLength < LENGTH_BYTES) return null;
  const length = Number(new DataView(start).getBigUint64(0, true));
  if (length > HEADER_BYTES) return null;
  const header = parsed(await file.slice(LENGTH_BYTES, LENGTH_BYTES + length).text());
  const offsets = header?.[FIRST_PHOTO]?.data_offsets;
  if (header?.__metadata__?.kind !== KIND || !offsets) return null;
  const from = LENGTH_BYTES + length;
  return file.slice(from + offsets[0], from + offsets[1], "image/jpeg");
}

function parsed(text: string): Header | null {
  try {
    return JSON.parse(text) as Header | null;
  } catch {
    return null;
  }
}
