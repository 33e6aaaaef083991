// When things happened on the backend's clock: the steps of agents, and calls that guesses asked.

#include "journal/moments.h"

#include <algorithm>
#include <cmath>

#include "journal/journal.h"
#include "journal/store/database.h"

namespace throng::journal {

namespace {

// How far a row's time may be from the commits in it: this long, or this share of the session so far, which
// no picture of it shows.
constexpr double kLeastWindow = 0.1;
constexpr double kWindowShare = 0.001;

}  // namespace

Moments::Moments(const llm::Llm& clock) : clock_(clock), begin_(clock.Now()), window_begin_(begin_) {}

std::optional<Moments::Row> Moments::Add(const sim::CommitRecord& record) {
  const double now = clock_.Now();
  const double window = std::max(kLeastWindow, kWindowShare * (now - begin_));
  std::optional<Row> full;
  if (!done_.empty() && now - window_begin_ > window) full = Take();
  if (done_.empty()) window_begin_ = now;
  last_ = now;
  for (const sim::MemberCommit& member : record.members) done_.emplace_back(member.id, record.step + 1);
  return full;
}

std::optional<Moments::Row> Moments::Take() {
  if (done_.empty()) return std::nullopt;
  std::stable_sort(done_.begin(), done_.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string steps;
  for (size_t i = 0; i < done_.size(); ++i) {
    if (i + 1 < done_.size() && done_[i + 1].first == done_[i].first) continue;  // it did more by then
    steps += fmt::format("{}{},{}", steps.empty() ? "[" : ",", done_[i].first, done_[i].second);
  }
  done_.clear();
  return Row{last_, steps + "]"};
}

void Journal::KeepMoments(const llm::Llm& clock) { moments_ = std::make_unique<Moments>(clock); }

void Journal::WriteMoments(const std::optional<Moments::Row>& row) {
  if (!row) return;
  Touch();
  Statement add(*database_, "INSERT INTO progress VALUES(?,?,?)");
  add.Bind(session_).Bind(row->s).Bind(std::string_view(row->steps)).Run();
}

void Journal::AddGuess(const llm::CallKey& key, const std::string& function, double issued_s,
                       double arrived_s, bool used) {
  Touch();
  Statement add(*database_, "INSERT INTO guesses VALUES(?,?,?,?,?,?,?,?)");
  add.Bind(session_).Bind(int64_t{key.step}).Bind(int64_t{key.agent}).Bind(int64_t{key.call});
  add.Bind(std::string_view(function)).Bind(issued_s).Bind(arrived_s).Bind(int64_t{used}).Run();
}

}  // namespace throng::journal
