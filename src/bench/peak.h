// Loops that do nothing but load the machine, to know its limits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace throng::bench {

// The sum of count words, a multiple of 64, with the widest loads.
uint64_t SumWords(const uint64_t* words, size_t count);

// Multiplies and adds in registers, in chains enough to hide the latency. Returns the f32 operations done.
double MultiplyAndAdd(int rounds);

}  // namespace throng::bench
