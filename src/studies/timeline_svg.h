// A picture of replays: for each mode, when each agent's calls were under way, and how many there were at
// once.
#pragma once

#include <string>
#include <vector>

#include "trace/replayer.h"

namespace throng::studies {

// Seconds of the backends' clock; until_s 0: the end of the slowest mode.
struct TimeWindow {
  double from_s = 0;
  double until_s = 0;

  // "100:400". Throws kInvalid for anything but two numbers, the first smaller and not negative.
  static TimeWindow Parse(const std::string& text);
};

// SVG text of bounded size: calls shorter than a pixel are merged so that the coloured part of a line is the
// part of the time in which the agent had a call under way. More agents than the picture has lines for are
// left out, which it says. There is at least one row; all have spans of the same calls. `agents`: their
// names, of which the first word is shown where there is room; or none.
std::string TimelineSvg(const std::vector<trace::ReplayRow>& rows, const TimeWindow& window,
                        const std::vector<std::string>& agents = {});

}  // namespace throng::studies
