#include "studies/timeline_svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <span>

#include "base/error.h"

namespace throng::studies {
namespace {

constexpr int kLeft = 60;     // left edge of the plots, in pixels
constexpr int kWidth = 1200;  // width of the plots, in pixels
constexpr int kRight = 20;
constexpr int kTitle = 26;        // height of a mode's title
constexpr int kCurve = 50;        // height of the curve of requests in flight
constexpr int kGap = 14;          // between modes
constexpr int kRowsHeight = 200;  // target for the lines of all agents
constexpr uint32_t kMaxAgents = 200;
constexpr int kLegible = 7;  // line height from which the agent's name is shown

// The functions with most time in flight get their own colours; the last colour stands for all others.
constexpr const char* kColours[] = {"#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377",
                                    "#ee7733", "#009988", "#882255", "#999933", "#332288", "#999999"};
constexpr size_t kNumColours = std::size(kColours);

std::string Escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '&':
        escaped += "&amp;";
        break;
      default:
        escaped += c >= 0 && c < ' ' ? ' ' : c;  // XML has no control characters
    }
  }
  return escaped;
}

class Picture {
 public:
  Picture(const std::vector<trace::ReplayRow>& rows, const TimeWindow& window,
          const std::vector<std::string>& agents)
      : rows_(rows), window_(window), agents_(agents) {
    for (const trace::ReplayRow& row : rows) {
      if (window.until_s == 0) window_.until_s = std::max(window_.until_s, row.stats.backend_s);
      for (const llm::CallSpan& span : row.spans) num_agents_ = std::max(num_agents_, span.key.agent + 1);
    }
    if (window_.until_s <= window_.from_s) window_.until_s = window_.from_s + 1;
    shown_agents_ = std::min(num_agents_, kMaxAgents);
    row_height_ = std::clamp(kRowsHeight / std::max(1, static_cast<int>(shown_agents_)), 1, 12);
    ChooseColours();
  }

  std::string Draw() {
    Legend();
    for (const trace::ReplayRow& row : rows_) Mode(row);
    Axis();
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
        "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n"
        "{2}</svg>\n",
        kLeft + kWidth + kRight, y_, body_);
  }

 private:
  template <typename... Args>
  void Emit(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(body_), format, std::forward<Args>(args)...);
  }

  double PixelOf(double seconds) const {
    return (seconds - window_.from_s) / (window_.until_s - window_.from_s) * kWidth;
  }

  // Calls function(pixel, share of it that the span covers).
  template <typename Function>
  void Cover(const llm::CallSpan& span, Function function) const {
    const double from = std::max(0.0, PixelOf(span.asked_s));
    const double until = std::min<double>(kWidth, PixelOf(span.answered_s));
    for (int x = static_cast<int>(from); x < kWidth && x < until; ++x) {
      function(x, std::min<double>(x + 1, until) - std::max<double>(x, from));
    }
  }

  void ChooseColours() {
    std::map<std::string, double> seconds;
    // All modes make the same calls, and in the first they wait least for the server.
    for (const llm::CallSpan& span : rows_.front().spans) {
      seconds[rows_.front().functions[span.function]] += span.answered_s - span.asked_s;
    }
    std::vector<std::pair<double, std::string>> order;
    for (const auto& [function, sum] : seconds) order.emplace_back(-sum, function);
    std::sort(order.begin(), order.end());
    for (const auto& [sum, function] : order) {
      const size_t colour = std::min(colours_.size(), kNumColours - 1);
      colours_[function] = colour;
      if (names_.size() < kNumColours) names_.push_back(function);
    }
    if (colours_.size() > kNumColours) names_.back() = "other";
  }

  void Legend() {
    int x = kLeft;
    y_ = 24;
    for (size_t i = 0; i < names_.size(); ++i) {
      const int width = 28 + 7 * static_cast<int>(names_[i].size());
      if (x + width > kLeft + kWidth) {
        x = kLeft;
        y_ += 18;
      }
      Emit(
          "<rect x=\"{}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"{}\" "
          "y=\"{}\">{}</text>\n",
          x, y_ - 10, kColours[i], x + 14, y_, Escaped(names_[i]));
      x += width;
    }
    y_ += 10;
    if (shown_agents_ < num_agents_) {
      y_ += 14;
      Emit("<text x=\"{}\" y=\"{}\">Lines: the first {} of {} agents.</text>\n", kLeft, y_, shown_agents_,
           num_agents_);
    }
  }

  void Mode(const trace::ReplayRow& row) {
    y_ += kTitle;
    Emit(
        "<text x=\"{}\" y=\"{}\" font-weight=\"bold\">{}</text><text x=\"{}\" y=\"{}\">{:.0f} s, {:.2f} "
        "requests "
        "in flight</text>\n",
        kLeft, y_ - 8, row.mode, kLeft + 110, y_ - 8, row.stats.backend_s, row.stats.parallelism);
    const int top = y_;
    Lines(row);
    Curve(row);
    Emit("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#bbbbbb\"/>\n", kLeft,
         top, kWidth, y_ - top);
    y_ += kGap;
  }

  void Lines(const trace::ReplayRow& row) {
    std::vector<std::vector<const llm::CallSpan*>> by_agent(shown_agents_);
    for (const llm::CallSpan& span : row.spans) {
      if (span.key.agent < shown_agents_) by_agent[span.key.agent].push_back(&span);
    }
    std::vector<std::string> paths(kNumColours);
    for (uint32_t agent = 0; agent < shown_agents_; ++agent) {
      const int y = y_ + static_cast<int>(agent) * row_height_;
      Line(row, by_agent[agent], y, paths);
      if (row_height_ < kLegible || agent >= agents_.size()) continue;
      Emit("<text x=\"{}\" y=\"{}\" font-size=\"{}\" text-anchor=\"end\">{}</text>\n", kLeft - 4,
           y + row_height_ - 1, row_height_, Escaped(agents_[agent].substr(0, agents_[agent].find(' '))));
    }
    for (size_t i = 0; i < kNumColours; ++i) {
      if (!paths[i].empty()) {
        Emit("<path fill=\"{}\" shape-rendering=\"crispEdges\" d=\"{}\"/>\n", kColours[i], paths[i]);
      }
    }
    y_ += static_cast<int>(shown_agents_) * row_height_;
  }

  void Line(const trace::ReplayRow& row, std::span<const llm::CallSpan* const> spans, int y,
            std::vector<std::string>& paths) const {
    std::vector<double> cover(kWidth * kNumColours);  // [pixel x colour]
    for (const llm::CallSpan* span : spans) {
      const size_t colour = colours_.at(row.functions[span->function]);
      Cover(*span, [&](int x, double share) { cover[x * kNumColours + colour] += share; });
    }
    // Carries a pixel's rounding error over to the next.
    double carry = 0;
    int begin = 0;
    size_t drawn = kNumColours;  // the colour of the bar that began there; kNumColours: none
    for (int x = 0; x <= kWidth; ++x) {
      size_t colour = kNumColours;
      if (x < kWidth) {
        const std::span<const double> pixel(&cover[x * kNumColours], kNumColours);
        double sum = 0;
        for (const double share : pixel) sum += share;
        carry += std::min(1.0, sum);
        if (carry >= 0.5) {
          carry -= 1;
          colour = static_cast<size_t>(std::max_element(pixel.begin(), pixel.end()) - pixel.begin());
        }
      }
      if (colour == drawn) continue;
      if (drawn < kNumColours) {
        fmt::format_to(std::back_inserter(paths[drawn]), "M{} {}h{}v{}h-{}z", kLeft + begin, y, x - begin,
                       std::max(1, row_height_ - 1), x - begin);
      }
      begin = x;
      drawn = colour;
    }
  }

  // Requests in flight, averaged over each pixel.
  void Curve(const trace::ReplayRow& row) {
    std::vector<double> in_flight(kWidth);
    for (const llm::CallSpan& span : row.spans) {
      Cover(span, [&](int x, double share) { in_flight[x] += share; });
    }
    const double most = std::max(1.0, *std::max_element(in_flight.begin(), in_flight.end()));
    const int bottom = y_ + kCurve;
    std::string path = fmt::format("M{} {}", kLeft, bottom);
    for (int x = 0; x < kWidth; ++x) {
      fmt::format_to(std::back_inserter(path), "V{:.1f}h1", bottom - in_flight[x] / most * (kCurve - 4));
    }
    Emit("<path fill=\"#c8d4e3\" d=\"{}V{}z\"/>\n", path, bottom);
    Emit(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{:.0f}</text><text x=\"{}\" y=\"{}\" "
        "text-anchor=\"end\">0</text>\n",
        kLeft - 6, y_ + 12, most, kLeft - 6, bottom);
    y_ = bottom;
  }

  void Axis() {
    const double span = window_.until_s - window_.from_s;
    double tick = std::pow(10.0, std::floor(std::log10(span / 5)));
    for (const double factor : {2.0, 2.5, 2.0}) {  // 1, 2, 5, 10 times a power of ten
      if (span / tick > 10) tick *= factor;
    }
    y_ += 4;
    for (double at = std::ceil(window_.from_s / tick) * tick; at <= window_.until_s; at += tick) {
      const double x = kLeft + PixelOf(at);
      Emit(
          "<path stroke=\"#999999\" d=\"M{0:.1f} {1}v5\"/><text x=\"{0:.1f}\" y=\"{2}\" "
          "text-anchor=\"middle\">{3}{4}</text>\n",
          x, y_ - 14, y_ + 6, static_cast<float>(at), at + tick > window_.until_s ? " s" : "");
    }
    y_ += 16;
  }

  const std::vector<trace::ReplayRow>& rows_;
  TimeWindow window_;
  const std::vector<std::string>& agents_;
  uint32_t num_agents_ = 0;
  uint32_t shown_agents_ = 0;
  int row_height_ = 1;
  std::map<std::string, size_t> colours_;  // by function
  std::vector<std::string> names_;         // by colour
  int y_ = 0;                              // everything above is drawn
  std::string body_;
};

}  // namespace

TimeWindow TimeWindow::Parse(const std::string& text) {
  TimeWindow window;
  size_t colon = 0;
  size_t end = 0;
  try {
    window.from_s = std::stod(text, &colon);
    window.until_s = std::stod(text.substr(std::min(colon + 1, text.size())), &end);
  } catch (const std::logic_error&) {
    end = std::string::npos;
  }
  if (end == std::string::npos || text[colon] != ':' || colon + 1 + end != text.size() ||
      !(window.from_s >= 0) || !(window.until_s > window.from_s) || !std::isfinite(window.until_s)) {
    throw MakeError(ErrorCode::kInvalid, "--plot-window {}: allowed: FROM:UNTIL in seconds, as in 100:400",
                    text);
  }
  return window;
}

std::string TimelineSvg(const std::vector<trace::ReplayRow>& rows, const TimeWindow& window,
                        const std::vector<std::string>& agents) {
  return Picture(rows, window, agents).Draw();
}

}  // namespace throng::studies
