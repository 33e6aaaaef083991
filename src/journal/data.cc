// Data that was collected of a run, and its end at an event.

#include <cmath>
#include <type_traits>

#include "base/error.h"
#include "journal/journal.h"
#include "journal/store/schema.h"
#include "journal/store/statements.h"

namespace throng::journal {

namespace {

void BindDatum(Statement& statement, const DataValue& value) {
  std::visit(
      [&](const auto& known) {
        using Type = std::decay_t<decltype(known)>;
        if constexpr (std::is_same_v<Type, std::monostate>) {
          statement.BindNull();
        } else if constexpr (std::is_same_v<Type, std::string>) {
          statement.Bind(std::string_view(known));
        } else {
          statement.Bind(known);
        }
      },
      value);
}

DataValue DatumAt(const Statement& row, int column) {
  if (row.IsNull(column)) return {};
  if (row.IsInt(column)) return row.Int(column);
  if (row.IsDouble(column)) return row.Double(column);
  return row.Text(column);
}

}  // namespace

// What was collected after this step so far: read at once, as asking for each takes a message to a database
// on another host.
Journal::DataOfStep& Journal::DataOf(sim::Step step) {
  if (data_step_ == step) return data_;
  data_step_ = step;
  data_.clear();
  if (step >= known_data_end_) {
    known_data_end_ = step + 1;
    return data_;
  }
  Statement& find = statements_->find_data;
  find.Bind(int64_t{step});
  while (find.Step()) data_.emplace(std::pair(find.Int(0), find.Text(1)), DatumAt(find, 2));
  return data_;
}

void Journal::AddDatum(sim::Step step, std::optional<sim::AgentId> agent, std::string_view name,
                       const DataValue& value) {
  const bool is_nan = std::holds_alternative<double>(value) && std::isnan(std::get<double>(value));
  const DataValue kept = is_nan ? DataValue() : value;  // SQLite has no NaN
  const int64_t id = agent.has_value() ? int64_t{*agent} : -1;
  const auto [found, is_new] = DataOf(step).emplace(std::pair(id, std::string(name)), kept);
  if (!is_new && found->second != kept) {
    throw MakeError(
        ErrorCode::kInvalid,
        "journal {}: {:?} of {} in step {} came out differently when it was collected again: what "
        "collects it, or the program, has changed since",
        path_, name, id < 0 ? "the model" : fmt::format("agent {}", id), step);
  }
  if (!is_new) return;
  Touch();
  Statement& add = statements_->add_datum;
  add.Bind(int64_t{step}).Bind(id).Bind(name);
  BindDatum(add, kept);
  add.Run();
}

void Journal::EndAt(sim::Step steps) {
  for (const char* sql :
       {"DELETE FROM commits WHERE step >= ?", "DELETE FROM chronicle WHERE step >= ?",
        "DELETE FROM collected WHERE step >= ?", "DELETE FROM bodies WHERE step > ?",
        "DELETE FROM cells WHERE step > ?", "DELETE FROM presence WHERE step > ?",
        "DELETE FROM snapshots WHERE step > ?", "DELETE FROM snapshot_parts WHERE step > ?"}) {
    Touch();
    Statement(*database_, sql).Bind(int64_t{steps}).Run();
  }
  SetManifest(JournalKeys::kSteps, std::to_string(steps));
}

}  // namespace throng::journal
