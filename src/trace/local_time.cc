#include "trace/local_time.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <string_view>

namespace throng::trace {
namespace {

constexpr int kSecondsPerDay = 86400;
constexpr std::string_view kMonths[] = {"January",   "February", "March",    "April",
                                        "May",       "June",     "July",     "August",
                                        "September", "October",  "November", "December"};

// Nothing if there is no such day or time.
std::optional<LocalTime> Make(int year, int month, int day, int h, int m, int s) {
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  const auto within = [](int value, int end) { return value >= 0 && value < end; };
  if (!date.ok() || !within(h, 24) || !within(m, 60) || !within(s, 60)) return std::nullopt;
  return LocalTime{date, h * 3600 + m * 60 + s};
}

// "February 13, 2023, 06:30:00", or the date alone.
std::optional<LocalTime> ParseWithMonth(const std::string& text) {
  char name[10] = "";
  int day = 0;
  int year = 0;
  int h = 0;
  int m = 0;
  int s = 0;
  int date_end = -1;
  int time_end = -1;
  std::sscanf(text.c_str(), "%9[A-Za-z] %2d, %4d%n, %2d:%2d:%2d%n", name, &day, &year, &date_end, &h, &m, &s,
              &time_end);
  const auto month = std::find(std::begin(kMonths), std::end(kMonths), name);
  const auto size = static_cast<int>(text.size());
  if (month == std::end(kMonths) || year < 1000 || (date_end != size && time_end != size))
    return std::nullopt;
  return Make(year, static_cast<int>(month - std::begin(kMonths)) + 1, day, h, m, s);
}

}  // namespace

std::optional<LocalTime> LocalTime::Parse(const std::string& text) {
  int year = 1;
  int month = 1;
  int day = 1;
  int h = 0;
  int m = 0;
  int s = 0;
  const bool has_day = text.find('T') != text.npos;
  std::sscanf(has_day ? text.c_str() : ("0001-01-01T" + text).c_str(), "%4d-%2d-%2dT%2d:%2d:%2d", &year,
              &month, &day, &h, &m, &s);
  std::optional<LocalTime> time = Make(year, month, day, h, m, s);
  if (time && !has_day) time->day.reset();
  if (time && time->Text() != text) return std::nullopt;
  return time;
}

std::optional<LocalTime> LocalTime::ParseRecorded(const std::string& text) {
  constexpr size_t kDateSize = 10;
  if (std::optional<LocalTime> time = ParseWithMonth(text)) return time;
  if (text.size() == kDateSize) return Parse(text + "T00:00:00");
  if (text.size() < kDateSize || (text[kDateSize] != ' ' && text[kDateSize] != 'T')) return std::nullopt;
  return Parse(text.substr(0, kDateSize) + "T" + text.substr(kDateSize + 1));
}

std::string LocalTime::Text() const {
  const std::string time = fmt::format("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
  if (!day) return time;
  const std::chrono::year_month_day date(*day);
  return fmt::format("{:04}-{:02}-{:02}T{}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), time);
}

LocalTime LocalTime::After(int64_t seconds) const {
  const int64_t since = second + seconds;
  const int64_t days = since / kSecondsPerDay - (since % kSecondsPerDay < 0);
  LocalTime later;
  if (day) later.day = *day + std::chrono::days(days);
  later.second = static_cast<int>(since - days * kSecondsPerDay);
  return later;
}

}  // namespace throng::trace
