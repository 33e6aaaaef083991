#include "eval/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace throng::eval {
namespace {

constexpr double kWidth = 640, kHeight = 400;                         // size of the picture
constexpr double kLeft = 70, kRight = 610, kTop = 40, kBottom = 350;  // frame of the axes

std::string Escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else
      out += c;
  }
  return out;
}

// One direction: numbers to coordinates, and the numbers worth a tick.
class Scale {
 public:
  Scale(double low, double high, double from, double to, bool log) : from_(from), to_(to), log_(log) {
    low_ = log ? std::log10(low) : low;
    high_ = log ? std::log10(high) : high;
    const double margin = high_ > low_ ? 0.08 * (high_ - low_) : std::max(0.5, std::abs(low_) * 0.1);
    low_ -= margin;
    high_ += margin;
  }
  double At(double value) const {
    return from_ + (to_ - from_) * ((log_ ? std::log10(value) : value) - low_) / (high_ - low_);
  }
  std::vector<double> Ticks() const {
    // Steps of 1, 2 or 5 times a power of ten, of which 3 to 8 fit; whole steps for exponents if enough fit.
    double step = std::pow(10.0, std::floor(std::log10((high_ - low_) / 3.0)));
    for (const double factor : {2.0, 5.0}) {
      const double base = std::pow(10.0, std::floor(std::log10((high_ - low_) / 3.0)));
      if ((high_ - low_) / (factor * base) >= 3.0) step = factor * base;
    }
    std::vector<double> ticks;
    for (double at = std::ceil(low_ / step) * step; at <= high_; at += step) {
      const double rounded = std::round(at / step) * step;
      ticks.push_back(log_ ? std::pow(10.0, rounded) : rounded);
    }
    return ticks;
  }

 private:
  double low_, high_, from_, to_;
  bool log_;
};

std::string Text(double x, double y, const char* anchor, const std::string& text, const char* more = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y, anchor, more,
                     Escape(text));
}

std::string Line(double x1, double y1, double x2, double y2, const char* colour) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\"/>\n", x1,
                     y1, x2, y2, colour);
}

bool IsShown(const PlotAxes& axes, const PlotPoint& point) {
  return std::isfinite(point.x) && std::isfinite(point.y) && (!axes.log_y || point.y > 0.0);
}

// Labels of points near each other are stacked.
double LabelY(double x, double y, std::vector<std::pair<double, double>>& taken) {
  for (double at = y + 4;; at += 12) {
    const bool free = std::none_of(taken.begin(), taken.end(), [&](const auto& other) {
      return std::abs(other.first - x) < 90 && std::abs(other.second - at) < 11;
    });
    if (!free) continue;
    taken.emplace_back(x, at);
    return at;
  }
}

std::string Frame(const PlotAxes& axes, const Scale& x, const Scale& y) {
  std::string svg;
  for (const double tick : x.Ticks()) {
    svg += Line(x.At(tick), kTop, x.At(tick), kBottom, "#ddd");
    svg += Text(x.At(tick), kBottom + 16, "middle", fmt::format("{:.3g}", tick));
  }
  for (const double tick : y.Ticks()) {
    svg += Line(kLeft, y.At(tick), kRight, y.At(tick), "#ddd");
    svg += Text(kLeft - 6, y.At(tick) + 4, "end", fmt::format("{:.3g}", tick));
  }
  svg += Line(kLeft, kBottom, kRight, kBottom, "#444") + Line(kLeft, kTop, kLeft, kBottom, "#444");
  svg += Text((kLeft + kRight) / 2, kHeight - 12, "middle", axes.x_label);
  svg += Text(16, (kTop + kBottom) / 2, "middle", axes.y_label,
              fmt::format(" transform=\"rotate(-90 16 {:.0f})\"", (kTop + kBottom) / 2).c_str());
  return svg + Text((kLeft + kRight) / 2, 22, "middle", axes.title, " font-size=\"14\"");
}

}  // namespace

std::string ScatterSvg(const PlotAxes& axes, std::span<const PlotPoint> points) {
  std::vector<PlotPoint> shown;
  for (const PlotPoint& point : points) {
    if (IsShown(axes, point)) shown.push_back(point);
  }
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" "
      "font-size=\"11\">\n<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
      kWidth, kHeight);
  if (shown.empty()) return svg + Text(kWidth / 2, kHeight / 2, "middle", "nothing to show") + "</svg>\n";
  double x_low = shown[0].x, x_high = x_low, y_low = shown[0].y, y_high = y_low;
  for (const PlotPoint& point : shown) {
    const bool bar = point.interval.high > point.interval.low;
    x_low = std::min(x_low, point.x);
    x_high = std::max(x_high, point.x);
    y_low = std::min(y_low, bar ? point.interval.low : point.y);
    y_high = std::max(y_high, bar ? point.interval.high : point.y);
  }
  const Scale x(x_low, x_high, kLeft, kRight, false);
  const Scale y(y_low, y_high, kBottom, kTop, axes.log_y);
  svg += Frame(axes, x, y);
  std::vector<std::pair<double, double>> labels;
  for (const PlotPoint& point : shown) {
    const double at_x = x.At(point.x), at_y = y.At(point.y);
    if (point.interval.high > point.interval.low) {
      svg += Line(at_x, y.At(point.interval.low), at_x, y.At(point.interval.high), "#1f6fb4");
    }
    svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"#1f6fb4\"/>\n", at_x, at_y);
    const bool left = at_x > kRight - 90;
    svg += Text(left ? at_x - 7 : at_x + 7, LabelY(at_x, at_y, labels), left ? "end" : "start", point.label);
  }
  return svg + "</svg>\n";
}

}  // namespace throng::eval
