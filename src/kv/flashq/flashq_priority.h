// Which heads of a layer flashq-mixed stores with 2 bits instead of 4.
//
// A head's priority is gap * deviation: the range of all its elements, times the standard deviation over
// channels of the channels' ranges. Heads with outlier channels have a high one. Half of a layer's heads,
// those with the lowest priorities, get 2 bits. Keys and values are ranked apart. The ranking needs one
// sample of a model's keys and values; it then holds for the model.
#pragma once

#include <span>
#include <vector>

namespace throng::kv {

// rows: [tokens, d] of one head.
double FlashqPriority(std::span<const float> rows, int head_dim);

// Returns 2 or 4 bits for each head: the lowest floor(n / 2) priorities get 2; ties go to the lower index.
std::vector<int> FlashqHeadBits(std::span<const double> priorities);

}  // namespace throng::kv
