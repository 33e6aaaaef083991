#include "journal/read/timeline.h"

#include <charconv>
#include <string_view>

#include "base/error.h"
#include "journal/store/clock.h"
#include "journal/store/database.h"

namespace throng::journal {

namespace {

// "3,7,9"
std::vector<int64_t> MembersOf(const Journal& journal, std::string_view list) {
  std::vector<int64_t> members;
  const char* next = list.data();
  const char* const last = next + list.size();
  while (true) {
    int64_t member = 0;
    const auto [end, error] = std::from_chars(next, last, member);
    if (error != std::errc() || (end != last && *end != ',')) {
      throw MakeError(ErrorCode::kCorrupt, "journal {}: a cluster has the members {:?}, allowed: numbers",
                      journal.Path(), list.substr(0, 60));
    }
    members.push_back(member);
    if (end == last) return members;
    next = end + 1;
  }
}

}  // namespace

std::vector<CallTimes> CallsBetween(const Journal& journal, int64_t from, int64_t to) {
  std::vector<CallTimes> calls;
  // Not of the view, which would put every prompt together.
  Statement row(
      journal.GetDatabase(),
      "SELECT step, agent, call, function, CASE finish WHEN 0 THEN 'stop' WHEN 1 THEN 'length' ELSE "
      "'failed' END, prompt_tokens + spent_prompt_tokens, cached_tokens + coalesce((SELECT tokens FROM "
      "spent_cached "
      "AS s WHERE s.step = answers.step AND s.agent = answers.agent AND s.call = answers.call), 0), "
      "output_tokens + "
      "spent_output_tokens, ((prompt_tokens + spent_prompt_tokens) * price.prompt + (output_tokens + "
      "spent_output_tokens) * price.output) / 1e6, issued_s, arrived_s, coalesce(session, 0) FROM "
      "answers LEFT JOIN price ON 1 = 1 WHERE step >= ? AND step < ? ORDER BY step, agent, call");
  row.Bind(from).Bind(to);
  while (row.Step()) {
    CallTimes call{.step = row.Int(0),
                   .agent = row.Int(1),
                   .call = row.Int(2),
                   .function = row.Text(3),
                   .finish = row.Text(4),
                   .prompt_tokens = row.Int(5),
                   .cached_tokens = row.Int(6),
                   .output_tokens = row.Int(7),
                   .cost = {},
                   .issued_s = row.Double(9),
                   .arrived_s = row.Double(10),
                   .session = row.Int(11)};
    if (!row.IsNull(8)) call.cost = row.Double(8);
    calls.push_back(std::move(call));
  }
  return calls;
}

std::vector<GuessTimes> GuessesBetween(const Journal& journal, int64_t from, int64_t to) {
  std::vector<GuessTimes> guesses;
  Statement row(
      journal.GetDatabase(),
      "SELECT step, agent, call, function, issued_s, arrived_s, session, used FROM guesses WHERE step "
      ">= ? AND step < ? ORDER BY step, agent, call, issued_s");
  row.Bind(from).Bind(to);
  while (row.Step()) {
    guesses.push_back({.step = row.Int(0),
                       .agent = row.Int(1),
                       .call = row.Int(2),
                       .function = row.Text(3),
                       .issued_s = row.Double(4),
                       .arrived_s = row.Double(5),
                       .session = row.Int(6),
                       .used = row.Int(7) != 0});
  }
  return guesses;
}

std::vector<ProgressRow> ProgressFrom(const Journal& journal, int64_t from, int64_t count) {
  std::vector<ProgressRow> rows;
  Statement row(journal.GetDatabase(),
                "SELECT session, s, steps FROM progress ORDER BY session, s LIMIT ? OFFSET ?");
  row.Bind(count).Bind(from);
  while (row.Step()) rows.push_back({row.Int(0), row.Double(1), row.Text(2)});
  return rows;
}

std::optional<InFlightRow> CallsInFlight(const Journal& journal) {
  Statement row(journal.GetDatabase(), "SELECT session, s, told, calls FROM in_flight ORDER BY session");
  std::optional<InFlightRow> last;
  while (row.Step()) last = {row.Int(0), row.Double(1), SecondsSince(row.Text(2)), row.Text(3)};
  return last;
}

std::vector<std::vector<int64_t>> ClustersAt(const Journal& journal, int64_t step) {
  std::vector<std::vector<int64_t>> clusters;
  Statement row(journal.GetDatabase(),
                "SELECT members FROM commits WHERE step = ? AND members LIKE '%,%' ORDER BY first");
  row.Bind(step);
  while (row.Step()) clusters.push_back(MembersOf(journal, row.Text(0)));
  return clusters;
}

}  // namespace throng::journal
