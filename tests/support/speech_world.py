"""Made-up people who open their mouths as loudly as they buzz, prepared as `gioconda prepare --for speech` does."""

import json
from dataclasses import asdict

import numpy as np

from gioconda.motion.expression import load_basis
from gioconda.speech.features import RATE
from gioconda.training.speech.prepare import INDEX, SpeechEntry
from gioconda.types import ARKIT_INDEX


def buzz(seconds, seed=0):
    """Bursts of a buzz (n,) float32 in -1..1 at RATE, and how strong they are at each sample, 0..1."""
    random = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * t + seed)
    wave = np.sign(np.sin(2 * np.pi * np.cumsum(pitch) / RATE)) * 0.3
    strength = np.clip(np.sin(2 * np.pi * random.uniform(1.5, 2.5) * t + random.uniform(0, 6)) + 0.2, 0, 1)
    return (wave * strength + random.normal(0, 0.002, len(t))).astype(np.float32), strength


def prepared(folder, people=4, clips=5, seconds=2.0):
    """A prepared folder: each person's last clip is dev."""
    folder.mkdir(parents=True, exist_ok=True)
    basis = load_basis()
    jaw = basis.offsets[ARKIT_INDEX["jawOpen"]]
    entries = []
    for person in range(people):
        shape = basis.neutral + 0.3 * basis.identity[person].astype(np.float32)
        for clip in range(clips):
            sound, strength = buzz(seconds, 10 * person + clip)
            times = np.arange(int(seconds * 25)) / 25
            open_ = np.interp(times, np.arange(len(strength)) / RATE, strength)
            points = shape + 0.6 * open_[:, None, None] * jaw
            name = f"who{person}_{clip}.npz"
            np.savez(
                folder / name,
                samples=np.rint(sound * 32767).astype(np.int16),
                points=points.astype(np.float16),
                times=times,
            )
            split = "dev" if clip == clips - 1 else "train"
            entries.append(SpeechEntry(name, name, f"who{person}", split))
    (folder / INDEX).write_text(json.dumps([asdict(e) for e in entries]))
    return folder
