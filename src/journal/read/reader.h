// Reads a journal row by row or summed up, for viewers and reports. Ranges of steps exclude the last one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "journal/journal.h"

namespace throng::journal {

struct AgentRow {  // state at the start of the run
  int64_t agent;
  std::string name;
  int64_t x;
  int64_t y;
  std::string status;
};

struct BodyRow {  // a change: the state at the start of `step`
  int64_t step;
  int64_t agent;
  int64_t x;
  int64_t y;
  std::string status;
};

struct PresenceRow {  // a change: the state at the start of `step`
  int64_t step;
  int64_t agent;
  bool present;
};

struct EventRow {
  int64_t step;
  int64_t agent;
  std::string kind;
  std::string text;
  std::optional<int64_t> call;  // the agent's call in that step that led to it
};

struct CellRow {  // a change: the state at the start of `step`
  int64_t step;
  int64_t x;
  int64_t y;
  std::string value;
};

struct SessionRow {
  int64_t id;
  std::string started;  // UTC
  std::string ended;    // empty: still running, or killed
  std::string outcome;
  std::string program;  // version and commit
  std::string machine;
  std::string backend;     // asked whatever the journal could not answer
  int64_t first_step;      // all agents had done the steps before it
  std::string parameters;  // JSON: the manifest's values that changed with it
};

struct FileRow {  // what the run was made from
  std::string name;
  int64_t bytes;
  std::string digest;
  bool has_content;
};

struct InterventionRow {
  int64_t asked;  // earliest step requested
  int64_t step;   // -1: not decided yet
  std::string what;
};

struct PauseRow {     // in which the run stands still
  std::string asked;  // UTC, as is begun
  std::string begun;  // empty: not yet
};

struct UsageSums {   // calls of one kind, or of one agent
  std::string name;  // of the function, or of the agent
  int64_t calls;
  int64_t failed;         // their agents fell back
  int64_t prompt_tokens;  // with those of answers that were not taken
  int64_t output_tokens;
  std::optional<double> cost;  // if the run has a price
  double mean_s;               // mean time from issue to arrival, on the backend's clock
};

struct HourSums {  // an hour of simulated time
  int64_t hour;    // hours since step 0
  int64_t calls;
  int64_t prompt_tokens;
  int64_t output_tokens;
  int64_t commits;
  int64_t events;
};

struct TokenSums {  // over all answers, with those that were not taken
  uint64_t prompt = 0;
  uint64_t output = 0;
};

class Reader {
 public:
  explicit Reader(const Journal& journal) : journal_(journal) {}  // journal must outlive this

  std::vector<AgentRow> Agents() const;
  // All four are sorted by step, then by agent or place.
  std::vector<BodyRow> Bodies(int64_t from, int64_t to) const;
  std::vector<PresenceRow> Presence(int64_t from, int64_t to) const;
  std::vector<EventRow> Events(int64_t from, int64_t to) const;
  std::vector<CellRow> Cells(int64_t from, int64_t to) const;

  std::vector<SessionRow> Sessions() const;
  std::optional<PauseRow> OpenPause() const;
  std::vector<InterventionRow> Interventions() const;         // in the order they were asked for
  std::vector<UsageSums> Functions() const;                   // sorted by name
  std::vector<UsageSums> AgentUsage() const;                  // of agents with calls, by id
  std::vector<std::string> Servers() const;                   // what answered, in their own words
  std::vector<FileRow> Files() const;                         // sorted by name
  std::vector<HourSums> Hours(int64_t steps_per_hour) const;  // only hours in which something happened
  TokenSums Tokens() const;
  std::optional<size_t> EmbeddingLength() const;  // numbers of each, if there are any

  int64_t NumCommits() const;
  int64_t NumBodies() const;
  int64_t NumCells() const;
  int64_t NumEvents() const;
  int64_t NumFallbacks() const;  // events of kind "fallback"

 private:
  std::vector<UsageSums> Usage(const char* sql) const;
  int64_t Count(const char* sql) const;

  const Journal& journal_;
};

}  // namespace throng::journal
