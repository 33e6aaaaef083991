// Estimates how soon cached blocks are needed again, so that the prefix cache can choose what leaves memory
// first. It applies to callers that return: a simulation's agents. Time here is counted in their steps.
//
// There are two questions. When will an agent ask again? The simulation says (llm.h, ExpectNext). Will its
// prompt then contain the block? Some parts recur in every prompt, some in prompts of one purpose, some
// never. This is learned from earlier blocks of equal purpose, place, uses and misses so far.
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

// Not thread-safe.
class NextUse {
 public:
  static constexpr uint8_t kForgotten = 16;  // after this many misses an agent's use of a block is forgotten

  // One agent's use of one block.
  struct Use {
    uint32_t agent;
    uint8_t purpose;     // purpose of the first prompt that had the block
    uint8_t place;       // index of the block in that prompt, at most kPlaces - 1
    uint8_t hits = 0;    // prompts of this agent that had the block; 0: it comes from an answer
    uint8_t misses = 0;  // prompts of this agent since the last hit

    static Use Of(const Asker& asker, size_t block);
  };

  uint8_t PurposeOf(const std::string& name);

  // The agent is not expected to ask before this step.
  void Expect(uint32_t agent, int32_t step);
  // The agent asks. It may ask again until the next Expect.
  void Asks(const Asker& asker);
  // Learns whether a prompt of the agent had the block (hit). Updates the counts of `use`, too.
  void Learn(Use& use, bool hit);

  // Expected number of prompts per step that need the block because of this use.
  double Rate(const Use& use) const;

 private:
  // Numbers of classes; the last one stands for all larger values.
  static constexpr size_t kHits = 5, kMisses = 7, kPlaces = 5;

  struct Agent {
    int32_t next = 0;        // not expected to ask before this step
    bool asks = false;       // has asked since the last Expect
    bool has_asked = false;  // has ever asked
    int32_t last = 0;        // step of its latest prompt
  };
  struct Tally {
    float hits = 0;
    float total = 0;
    void Add(bool hit);
    double Chance(double prior) const { return (hits + kPriorWeight * prior) / (total + kPriorWeight); }
  };
  static constexpr double kPriorWeight = 4;
  static constexpr float kMostTotal = 512;  // at this total, older outcomes are halved

  static size_t CoarseClass(const Use& use);
  static size_t FineClass(const Use& use);

  std::unordered_map<std::string, uint8_t> purposes_;
  std::unordered_map<uint32_t, Agent> agents_;
  std::array<Tally, kHits * kMisses> coarse_;
  std::vector<Tally> fine_;  // for each purpose, each class of coarse_ at each place
  int32_t now_ = 0;          // the step of the latest prompt: smaller steps are served first
  double gap_ = 1;           // average number of steps between one in which an agent asks and its next
  uint64_t num_gaps_ = 0;
};

}  // namespace throng::engine
