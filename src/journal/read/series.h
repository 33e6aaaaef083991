// The values that reporters collected, as lines over the steps.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "journal/journal.h"

namespace throng::journal {

struct SeriesPoint {
  int64_t step;
  double mean;  // of all agents that have a value; of the model's: the value
  double min;
  double max;
};

struct Series {
  std::string name;
  bool of_agents;                   // false: of the whole model
  std::vector<SeriesPoint> points;  // by step
};

// All that are numbers, by name. Of a series of more than `most` points (at least 1), points are averaged by
// equally long ranges of steps, and stand at the first step of their range.
std::vector<Series> AllSeries(const Journal& journal, int64_t most);

}  // namespace throng::journal
