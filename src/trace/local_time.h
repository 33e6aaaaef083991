// Points of local time, as traces and recordings write them.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace throng::trace {

// A time of a day; which day may be unknown.
struct LocalTime {
  std::optional<std::chrono::sys_days> day;
  int second = 0;  // of the day, [0, 86400)

  // "2023-02-13T06:30:00", or "06:30:00" where the day is unknown. Nothing if it is no such time.
  static std::optional<LocalTime> Parse(const std::string& text);
  // Also what Generative Agents and its forks write: "February 13, 2023, 06:30:00", and a date alone, in this
  // form or as "2023-02-13", which is its midnight.
  static std::optional<LocalTime> ParseRecorded(const std::string& text);

  std::string Text() const;  // as Parse reads it
  LocalTime After(int64_t seconds) const;

  bool operator==(const LocalTime&) const = default;
};

}  // namespace throng::trace
