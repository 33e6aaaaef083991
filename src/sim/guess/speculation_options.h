// How far, how much and how boldly a run may ask ahead.
#pragma once

#include <cstdint>

#include "sim/space/ids.h"

namespace throng::sim {

struct SpeculationOptions {
  int max_in_flight = 256;  // requests, confirmed ones included, up to which guesses are asked
  Step max_steps = 40;      // that an agent's guesses reach beyond its confirmed step
  // That a guess is right, by what became of those like it, for it to be asked: at first this, and the more
  // of the allowed waste is used, the closer to 1.
  double least_chance = 0.6;
  // Allowed waste: this share of the confirmed tokens plus the burst. Waste uses it, and so does what may be
  // expected of guesses whose outcome is open. These have at most so many tokens in all: by that much waste
  // could exceed what is allowed at worst.
  double waste_share = 0.05;
  uint64_t waste_burst = 20'000;
  uint64_t max_open_tokens = 1'000'000;
};

}  // namespace throng::sim
