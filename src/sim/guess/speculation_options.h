// Limits how far, how much and how boldly a run may ask ahead.
#pragma once

#include <cstdint>

#include "sim/space/ids.h"

namespace throng::sim {

struct SpeculationOptions {
  int max_in_flight = 256;  // guesses are sent only below this many requests, confirmed ones included
  // How far an agent's guesses reach beyond its confirmed step: near_steps, and up to max_steps while at most
  // max_far_asked of these steps have asked. A quiet hour is crossed, a busy one is not guessed far.
  Step near_steps = 40;
  Step max_steps = 200;
  int max_far_asked = 3;
  // The least chance of being right, estimated from similar guesses, for a guess to be asked. It rises
  // towards 1 as the allowed waste is used up.
  double least_chance = 0.65;
  // So many guesses, open or wasted, are asked at a lower chance, to see in short runs what guesses bring.
  uint64_t trials = 5;
  // Allowed waste, in tokens: waste_share of the confirmed tokens, plus burst_calls of the confirmed calls'
  // average size. Waste counts against it, and so does the waste expected of open guesses. Open guesses have
  // at most max_open_tokens in all, which bounds by how much waste can exceed what is allowed.
  double waste_share = 0.05;
  int burst_calls = 7;
  uint64_t max_open_tokens = 1'000'000;
};

}  // namespace throng::sim
