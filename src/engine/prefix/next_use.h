// How soon cached blocks are needed again, for the prefix cache's choice of what leaves memory first. For
// callers that come again: a simulation's agents, whose steps are the time that is meant here.
//
// Two questions. When will an agent ask again? Its simulation tells (llm.h, ExpectNext). Will its prompt then
// have the block? Some parts of prompts come again in each, others in those of one purpose, others never:
// learned from what became of blocks alike, those of equal purpose, place, uses and misses so far.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace throng::engine {

// One prompt of an agent.
struct Asker {
  uint32_t agent;
  int32_t step;
  uint8_t purpose;  // NextUse::PurposeOf
};

// For one thread.
class NextUse {
 public:
  static constexpr uint8_t kForgotten = 16;  // misses after which an agent's use of a block is history

  // What one agent has to do with one block.
  struct Use {
    uint32_t agent;
    uint8_t purpose;     // of the first prompt that had it
    uint8_t place;       // in that prompt, in blocks, as far as it is told apart
    uint8_t hits = 0;    // prompts of this agent that had it; 0: it is of an answer
    uint8_t misses = 0;  // those after the last of them, which had not

    static Use Of(const Asker& asker, size_t block);
  };

  uint8_t PurposeOf(const std::string& name);

  // The agent is not expected to ask before this step.
  void Expect(uint32_t agent, int32_t step);
  // It asks. It may go on to do so until the next Expect.
  void Asks(const Asker& asker);
  // A prompt of the agent was looked at: does it have the block? Counts it in `use`, too.
  void Learn(Use& use, bool hit);

  // Prompts per step that are expected to need the block because of this use.
  double Rate(const Use& use) const;

 private:
  static constexpr size_t kHits = 5, kMisses = 7, kPlaces = 5;  // told apart, the last ones together

  struct Agent {
    int32_t next = 0;        // not expected before
    bool asks = false;       // it is at it
    bool has_asked = false;  // ever,
    int32_t last = 0;        // and when
  };
  struct Tally {
    float hits = 0;
    float total = 0;
    void Add(bool hit);
    double Chance(double prior) const { return (hits + kPriorWeight * prior) / (total + kPriorWeight); }
  };
  static constexpr double kPriorWeight = 4;
  static constexpr float kMostTotal = 512;  // then older outcomes count half

  static size_t CoarseClass(const Use& use);
  static size_t FineClass(const Use& use);

  std::unordered_map<std::string, uint8_t> purposes_;
  std::unordered_map<uint32_t, Agent> agents_;
  std::array<Tally, kHits * kMisses> coarse_;
  std::vector<Tally> fine_;  // for each purpose, each class of coarse_ at each place
  int32_t now_ = 0;          // the step of the latest prompt: smaller steps are served first
  double gap_ = 1;           // steps from one in which an agent asks to its next, on average
  uint64_t num_gaps_ = 0;
};

}  // namespace throng::engine
