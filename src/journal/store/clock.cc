#include "journal/store/clock.h"

#include <charconv>
#include <ctime>

#include "base/error.h"
#include "journal/read/report.h"

namespace throng::journal {

namespace {

constexpr int64_t kDaySeconds = 24 * 3600;

bool ParseNumber(std::string_view text, int64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number >= 0;
}

// "09:30" as seconds since midnight; -1 if it is not that.
int64_t SecondOf(const std::string& clock) {
  int64_t hours = 0;
  int64_t minutes = 0;
  const size_t colon = clock.find(':');
  const std::string_view text = clock;
  if (colon == std::string::npos || !ParseNumber(text.substr(0, colon), hours) ||
      !ParseNumber(text.substr(colon + 1), minutes) || hours > 23 || minutes > 59) {
    return -1;
  }
  return hours * 3600 + minutes * 60;
}

int64_t StartSecond(const Journal& journal) {
  const auto start = journal.GetManifest().find(JournalKeys::kStart);
  return start == journal.GetManifest().end() ? 0 : std::max<int64_t>(0, SecondOf(start->second));
}

}  // namespace

std::string NowUtc() {
  const std::time_t now = std::time(nullptr);
  std::tm utc;
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

double SecondsSince(const std::string& utc) {
  std::tm time{};
  if (strptime(utc.c_str(), "%Y-%m-%dT%H:%M:%SZ", &time) == nullptr) return 0;
  return std::max(0.0, std::difftime(std::time(nullptr), timegm(&time)));
}

std::string ClockAt(const Journal& journal, int64_t step) {
  const int seconds = SecondsPerStep(journal);
  if (seconds == 0) return {};
  const int64_t minutes = (StartSecond(journal) + step * seconds) % kDaySeconds / 60;
  return fmt::format("{:02}:{:02}", minutes / 60, minutes % 60);
}

int64_t ParseMoment(const Journal& journal, const std::string& text) {
  int64_t step = 0;
  if (ParseNumber(text, step)) return step;
  const int seconds = SecondsPerStep(journal);
  const int64_t second = SecondOf(text) - StartSecond(journal);
  if (seconds == 0 || second < 0) {
    throw MakeError(ErrorCode::kInvalid, "time {}: allowed: a step such as 500{}", text,
                    seconds == 0 ? "" : ", or a time of the first day such as 09:30");
  }
  return (second + seconds - 1) / seconds;
}

}  // namespace throng::journal
