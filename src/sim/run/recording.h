// What a run asked, was answered and did, kept in a file, so that another run, in this process or in another,
// can be compared with it.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/digest.h"
#include "llm/llm.h"
#include "sim/run_observer.h"
#include "sim/world.h"

namespace throng::sim {

// The parts of a request as text.
inline constexpr const char* kRequestParts[] = {
    "function", "system message", "prompt",       "choices",  "schema",
    "grammar",  "regex",          "stop strings", "sampling", "kind"};

struct RecordedCall {
  uint32_t number = 0;               // of the agent in that step, in program order
  Digest digest;                     // of the request
  std::vector<std::string> request;  // parallel to kRequestParts
  llm::Completion answer;            // without ids and times
};

// What an agent did in a step, or how it started or was born.
struct RecordedStep {
  std::vector<RecordedCall> calls;  // by number
  Body body;                        // after the step
  Digest mind_digest;
  std::string mind;  // Mind::Text
  std::vector<Event> events;
  bool removed = false;
};

class Recording {
 public:
  // The world before step 0.
  static constexpr Step kStart = -1;

  // Begins a recording at `path`; if that is empty, in a file that nobody else sees. Throws kIo.
  explicit Recording(const std::string& path = "");
  // Opens one that was flushed, to read it. Throws kIo, and kCorrupt if it is none.
  static std::unique_ptr<Recording> Open(const std::string& path);

  void AddScenario(const Digest& digest);  // World::ScenarioDigest
  // Without `what`, only the digest is kept: the step is known to be equal to another recording's.
  void AddStep(Step step, AgentId agent, const Digest& digest, const RecordedStep* what);
  void AddCells(Step step, std::span<const CellWrite> cells);
  void AddIntervention(Step step, const Digest& digest);
  void Flush();  // to the file, for other processes; throws kIo

  const Digest& Scenario() const { return scenario_; }
  Step EndStep() const { return static_cast<Step>(steps_.size()) - 1; }  // after the last one
  AgentId NumAgents(Step step) const;                                    // those beyond it did nothing
  Digest DigestOf(Step step, AgentId agent) const;                       // zero: it did nothing
  Digest CellsOf(Step step) const;                                       // a sum
  Digest InterventionsOf(Step step) const;                               // a sum
  RecordedStep Read(Step step, AgentId agent) const;  // empty if it did nothing, or only its digest is kept
  std::vector<CellWrite> ReadCells(Step step) const;  // as they were written, in no particular order

 private:
  struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  struct AgentStep {
    Digest digest;
    uint64_t offset = 0;  // in the file; 0: only the digest is kept
  };
  struct StepIndex {
    std::vector<AgentStep> agents;
    std::vector<uint64_t> cells;  // offsets
    Digest cells_sum;
    Digest interventions_sum;
  };

  explicit Recording(std::FILE* file) : file_(file) {}
  StepIndex& At(Step step);
  const StepIndex* Find(Step step) const;
  uint64_t Append(const std::vector<uint8_t>& bytes);
  std::vector<uint8_t> ReadBytes(uint64_t offset) const;
  void Index(const std::vector<uint8_t>& bytes, uint64_t offset);

  std::unique_ptr<std::FILE, CloseFile> file_;
  uint64_t size_ = 0;
  Digest scenario_;
  std::vector<StepIndex> steps_;  // from kStart on
};

}  // namespace throng::sim
