#include "journal/read/compare.h"

#include <algorithm>
#include <array>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

#include "journal/store/database.h"

namespace throng::journal {

namespace {

// A kind of rows, in the order of their key. Columns: step (the one whose doing the row is), agent (null:
// none), further key columns, then values.
struct Rows {
  const char* what;
  const char* sql;  // its parameter: the number of steps to compare
  int key_columns;
};

constexpr Rows kStart = {"its start",
                         "SELECT -1, agent, name, x, y, status FROM starts WHERE ? >= 0 ORDER BY agent", 2};
// In the order in which they happen within a step.
constexpr Rows kInOrder[] = {
    {"an event from outside",
     "SELECT step, NULL, row_number() OVER (PARTITION BY step ORDER BY id), what FROM interventions "
     "WHERE step < ? ORDER BY step, id",
     3},
    {"a call",
     "SELECT step, agent, call, hex(digest), finish, text FROM answers WHERE step < ? ORDER BY step, agent, "
     "call",
     3},
    {"an event",
     "SELECT step, agent, seq, kind, text FROM chronicle WHERE step < ? ORDER BY step, agent, seq", 3},
    {"its body", "SELECT step - 1, agent, x, y, status FROM bodies WHERE step <= ? ORDER BY step, agent", 2},
    {"its presence", "SELECT step - 1, agent, present FROM presence WHERE step <= ? ORDER BY step, agent", 2},
    {"a cell", "SELECT step - 1, NULL, x, y, value FROM cells WHERE step <= ? ORDER BY step, x, y", 4},
    {"what it remembers or plans",
     "SELECT step, first, members, hex(digest) FROM commits WHERE step < ? ORDER BY step, first", 2},
};

struct Found {
  const Rows* rows = nullptr;
  std::vector<int64_t> key;  // step, agent (-1: none), ...
  bool in_a = false;
  bool in_b = false;
  std::string a;  // its values
  std::string b;
};

std::vector<int64_t> KeyOf(const Statement& row, int columns) {
  std::vector<int64_t> key;
  for (int i = 0; i < columns; ++i) key.push_back(row.IsNull(i) ? -1 : row.Int(i));
  return key;
}

std::string ValuesOf(const Statement& row, int from) {
  std::string values;
  for (int i = from; i < row.NumColumns(); ++i) values += (i > from ? ", " : "") + row.Text(i);
  return values;
}

// The first row of this kind that is not in both.
std::optional<Found> FirstDifference(const Journal& a, const Journal& b, const Rows& rows, int64_t steps) {
  Statement of_a(a.GetDatabase(), rows.sql);
  Statement of_b(b.GetDatabase(), rows.sql);
  of_a.Bind(steps);
  of_b.Bind(steps);
  while (true) {
    const bool in_a = of_a.Step();
    const bool in_b = of_b.Step();
    if (!in_a && !in_b) return std::nullopt;
    Found found;
    found.rows = &rows;
    const std::vector<int64_t> key_a = in_a ? KeyOf(of_a, rows.key_columns) : std::vector<int64_t>();
    const std::vector<int64_t> key_b = in_b ? KeyOf(of_b, rows.key_columns) : std::vector<int64_t>();
    found.in_a = in_a && (!in_b || key_a <= key_b);
    found.in_b = in_b && (!in_a || key_b <= key_a);
    found.key = found.in_a ? key_a : key_b;
    if (found.in_a) found.a = ValuesOf(of_a, rows.key_columns);
    if (found.in_b) found.b = ValuesOf(of_b, rows.key_columns);
    if (!found.in_a || !found.in_b || found.a != found.b) return found;
  }
}

std::string NameOf(const Journal& journal, int64_t agent) {
  Statement row(journal.GetDatabase(), "SELECT name FROM starts WHERE agent = ?");
  row.Bind(agent);
  std::string name;
  while (row.Step()) name = row.Text(0);
  return name;
}

struct Call {
  std::string function;
  std::string answer;  // or why there is none
  std::string settings;
  std::string system;
  std::string prompt;
};

Call CallAt(const Journal& journal, const std::vector<int64_t>& key) {
  Statement row(
      journal.GetDatabase(),
      "SELECT function, finish || ': ' || coalesce(answer, error), system, prompt, choices, json_schema, "
      "temperature, top_k, top_p, min_p, repetition_penalty, seed, stop, max_tokens, grammar, regex FROM "
      "calls "
      "WHERE step = ? AND agent = ? AND call = ?");
  row.Bind(key[0]).Bind(key[1]).Bind(key[2]);
  Call call;
  while (row.Step()) {
    call.function = row.Text(0);
    call.answer = row.Text(1);
    call.system = row.Text(2);
    call.prompt = row.Text(3);
    for (int i = 4; i < row.NumColumns(); ++i) call.settings += row.ColumnName(i) + " " + row.Text(i) + "\n";
  }
  return call;
}

// Both texts' first line that differs; false: they are equal.
bool FirstLine(const std::string& a, const std::string& b, int& number, std::string& line_a,
               std::string& line_b) {
  std::istringstream lines_a(a);
  std::istringstream lines_b(b);
  for (number = 1;; ++number) {
    const bool more_a = static_cast<bool>(std::getline(lines_a, line_a));
    const bool more_b = static_cast<bool>(std::getline(lines_b, line_b));
    if (!more_a) line_a.clear();
    if (!more_b) line_b.clear();
    if (!more_a && !more_b) return false;
    if (more_a != more_b || line_a != line_b) return true;
  }
}

void DescribeCall(const Journal& a, const Journal& b, const Found& found, Difference& difference) {
  const Call call_a = CallAt(a, found.key);
  const Call call_b = CallAt(b, found.key);
  const std::string which =
      fmt::format("call {} ({})", found.key[2], found.in_a ? call_a.function : call_b.function);
  if (!found.in_a || !found.in_b) {
    difference.what = which + " is only in one of them";
    difference.a = call_a.answer;
    difference.b = call_b.answer;
    return;
  }
  int line = 0;
  if (found.a.substr(0, found.a.find(',')) == found.b.substr(0, found.b.find(','))) {
    difference.what = which + " has another answer";
    difference.a = call_a.answer;
    difference.b = call_b.answer;
  } else if (call_a.function != call_b.function) {
    difference.what = fmt::format("call {} is for something else", found.key[2]);
    difference.a = call_a.function;
    difference.b = call_b.function;
  } else if (FirstLine(call_a.system, call_b.system, line, difference.a, difference.b)) {
    difference.what = fmt::format("{} differs in line {} of its system message", which, line);
  } else if (FirstLine(call_a.prompt, call_b.prompt, line, difference.a, difference.b)) {
    difference.what = fmt::format("{} differs in line {} of its prompt", which, line);
  } else if (FirstLine(call_a.settings, call_b.settings, line, difference.a, difference.b)) {
    difference.what = which + " has other settings";
  } else {
    difference.what = which + " asks something else, in a prompt that was not kept";
  }
}

Difference Describe(const Journal& a, const Journal& b, const Found& found) {
  Difference difference;
  difference.step = static_cast<sim::Step>(found.key[0]);
  if (found.key[1] >= 0) {
    difference.agent = found.key[1];
    difference.agent_name = NameOf(a, found.key[1]);
    if (difference.agent_name.empty()) difference.agent_name = NameOf(b, found.key[1]);
  }
  if (std::string_view(found.rows->what) == "a call") {
    DescribeCall(a, b, found, difference);
    return difference;
  }
  difference.what = fmt::format("{} differs", found.rows->what);
  difference.a = found.a;
  difference.b = found.b;
  return difference;
}

}  // namespace

std::optional<Difference> FindDifference(const Journal& a, const Journal& b) {
  const int64_t steps = std::min(a.NumSteps(), b.NumSteps());
  if (const std::optional<Found> start = FirstDifference(a, b, kStart, steps)) return Describe(a, b, *start);
  std::optional<Found> first;
  for (const Rows& rows : kInOrder) {
    std::optional<Found> found = FirstDifference(a, b, rows, steps);
    // What comes later in the list counts only if its step is earlier.
    if (found.has_value() && (!first.has_value() || found->key[0] < first->key[0])) first = std::move(found);
  }
  if (!first.has_value()) return std::nullopt;
  return Describe(a, b, *first);
}

}  // namespace throng::journal
