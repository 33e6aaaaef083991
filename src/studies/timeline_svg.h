// Draws a picture of replays: for each mode, when each agent's calls were in flight, and how many there were
// at once.
#pragma once

#include <string>
#include <vector>

#include "trace/replayer.h"

namespace throng::studies {

// Seconds on the backends' clock; until_s 0: the end of the slowest mode.
struct TimeWindow {
  double from_s = 0;
  double until_s = 0;

  // "100:400". Throws kInvalid for anything but two numbers, the first smaller and not negative.
  static TimeWindow Parse(const std::string& text);
};

// SVG text of bounded size: calls shorter than a pixel are merged so that the coloured share of a line is the
// share of time in which the agent had a call in flight. If there are more agents than lines, the rest are
// left out, and the picture says so. There must be at least one row, and all rows must have spans of the same
// calls. `agents`: their names, or empty; the first word of each is shown where there is room.
std::string TimelineSvg(const std::vector<trace::ReplayRow>& rows, const TimeWindow& window,
                        const std::vector<std::string>& agents = {});

}  // namespace throng::studies
