/** The webcam: a photo as portrait, a clip as motion. */

import { useEffect, useRef, useState } from "preact/hooks";
import { Icon } from "../ui/icon";

/** The webcam's stream while a component is shown; a sentence where there is none. */
export function useCamera(sound = false): { stream: MediaStream | null; problem: string } {
  const [stream, setStream] = useState<MediaStream | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    let opened: MediaStream | null = null;
    let over = false;
    openCamera(sound)
      .then((found) => {
        if (over) return stopStream(found);
        opened = found;
        setStream(found);
      })
      .catch((error: unknown) => setProblem(cameraProblem(error)));
    return () => {
      over = true;
      stopStream(opened);
    };
  }, [sound]);
  return { stream, problem };
}

export async function openCamera(sound = false): Promise<MediaStream> {
  if (!navigator.mediaDevices) throw new DOMException("", "SecurityError");
  const video = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 }, facingMode: "user" };
  return navigator.mediaDevices.getUserMedia({ video, audio: sound });
}

export function stopStream(stream: MediaStream | null): void {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

export function cameraProblem(error: unknown): string {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "SecurityError") return "The browser gives the camera only to pages of https:// and of this machine.";
  return name === "NotAllowedError" ? "The camera was not allowed." : "No camera can be used.";
}

interface ShotProps {
  done: (file: File | null) => void;
}

export function CameraShot({ done }: ShotProps) {
  const { stream, problem } = useCamera();
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    if (video.current) video.current.srcObject = stream;
  }, [stream]);
  const take = async () => {
    const { videoWidth: width, videoHeight: height } = video.current!;
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d")!.drawImage(video.current!, 0, 0);
    done(new File([await canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 })], "photo.jpg", { type: "image/jpeg" }));
  };
  return (
    <section class="card camera" aria-label="Camera">
      {problem ? <p class="problem" role="status">{problem}</p> : <video ref={video} autoplay muted playsInline class="mirrored" />}
      <p class="actions">
        <button type="button" class="primary" disabled={!stream} onClick={() => void take()}>
          Take the photo
        </button>
        <button type="button" onClick={() => done(null)}>
          Back
        </button>
      </p>
    </section>
  );
}

/** Records a clip of the webcam with its sound. */
export function CameraClip({ done }: ShotProps) {
  const { stream, problem } = useCamera(true);
  const video = useRef<HTMLVideoElement>(null);
  const recorder = useRef<MediaRecorder | null>(null);
  const [seconds, setSeconds] = useState<number | null>(null);
  useEffect(() => {
    if (video.current) video.current.srcObject = stream;
  }, [stream]);
  useEffect(() => {
    if (seconds === null) return;
    const timer = setTimeout(() => setSeconds(seconds + 1), 1000);
    return () => clearTimeout(timer);
  }, [seconds]);
  const toggle = () => {
    if (recorder.current) return recorder.current.stop();
    const pieces: Blob[] = [];
    const begun = (recorder.current = new MediaRecorder(stream!));
    begun.ondataavailable = (event) => pieces.push(event.data);
    begun.onstop = () => done(new File(pieces, "recording.webm", { type: "video/webm" }));
    begun.start();
    setSeconds(0);
  };
  return (
    <section class="camera" aria-label="Camera">
      {problem ? <p class="problem" role="status">{problem}</p> : <video ref={video} autoplay muted playsInline class="mirrored" />}
      <p class="actions">
        <button type="button" class="primary" disabled={!stream} onClick={toggle}>
          <Icon name={seconds === null ? "record" : "stop"} />
          {seconds === null ? "Record" : `Stop after ${seconds} s`}
        </button>
        <button type="button" onClick={() => done(null)}>
          Back
        </button>
      </p>
    </section>
  );
}
