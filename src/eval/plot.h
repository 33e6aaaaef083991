// Small plots of results, as SVG.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/statistics.h"

namespace throng::eval {

struct PlotPoint {
  std::string label;
  double x = 0.0;
  double y = 0.0;
  Interval interval;  // a bar from low to high; none if they are equal
};

struct PlotAxes {
  std::string title;
  std::string x_label;
  std::string y_label;
  bool log_y = false;  // then leaves out points that are not above 0
};

// A whole file. Points with numbers that are not finite are left out.
std::string ScatterSvg(const PlotAxes& axes, std::span<const PlotPoint> points);

}  // namespace throng::eval
