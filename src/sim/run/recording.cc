#include "sim/run/recording.h"

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "base/error.h"

namespace throng::sim {

namespace {

using nlohmann::json;

// A file is a sequence of blocks: a size of 8 bytes and as many bytes of CBOR, an array that begins with one
// of these.
enum Kind { kScenario, kStep, kCells, kIntervention };

json DigestJson(const Digest& digest) { return {digest.high, digest.low}; }

Digest ToDigest(const json& value) { return {value.at(0).get<uint64_t>(), value.at(1).get<uint64_t>()}; }

json CallJson(const RecordedCall& call) {
  const llm::Completion& answer = call.answer;
  json error;
  if (answer.error) error = {static_cast<int>(answer.error->Code()), answer.error->what()};
  return {call.number,     DigestJson(call.digest), call.request,         static_cast<int>(answer.finish),
          answer.text,     answer.prompt_tokens,    answer.output_tokens, answer.cached_prompt_tokens,
          std::move(error)};
}

RecordedCall ToCall(const json& value) {
  RecordedCall call;
  call.number = value.at(0);
  call.digest = ToDigest(value.at(1));
  call.request = value.at(2).get<std::vector<std::string>>();
  call.answer.finish = static_cast<llm::FinishReason>(value.at(3).get<int>());
  call.answer.text = value.at(4);
  call.answer.prompt_tokens = value.at(5);
  call.answer.output_tokens = value.at(6);
  call.answer.cached_prompt_tokens = value.at(7);
  const json& error = value.at(8);
  if (!error.is_null()) {
    call.answer.error = Error(static_cast<ErrorCode>(error.at(0).get<int>()), error.at(1).get<std::string>());
  }
  return call;
}

json StepJson(const RecordedStep& what) {
  json calls = json::array();
  for (const RecordedCall& call : what.calls) calls.push_back(CallJson(call));
  json events = json::array();
  for (const Event& event : what.events) events.push_back({event.agent, event.kind, event.text});
  return {
      std::move(calls), what.body.pos.x,   what.body.pos.y, what.body.status, DigestJson(what.mind_digest),
      what.mind,        std::move(events), what.removed};
}

RecordedStep ToStep(const json& value) {
  RecordedStep what;
  for (const json& call : value.at(0)) what.calls.push_back(ToCall(call));
  what.body = {{value.at(1), value.at(2)}, value.at(3)};
  what.mind_digest = ToDigest(value.at(4));
  what.mind = value.at(5);
  for (const json& event : value.at(6)) what.events.push_back({event.at(0), event.at(1), event.at(2)});
  what.removed = value.at(7);
  return what;
}

[[noreturn]] void ThrowFailed(const char* what) {
  throw MakeError(ErrorCode::kIo, "the recording of a run: cannot {}: {}", what, std::strerror(errno));
}

std::FILE* OpenFile(const std::string& path, const char* mode) {
  std::FILE* const file = path.empty() ? std::tmpfile() : std::fopen(path.c_str(), mode);
  if (file == nullptr) {
    throw MakeError(ErrorCode::kIo, "the recording of a run: cannot open {}: {}",
                    path.empty() ? "a temporary file" : path, std::strerror(errno));
  }
  return file;
}

}  // namespace

Recording::Recording(const std::string& path) : file_(OpenFile(path, "w+b")) {}

std::unique_ptr<Recording> Recording::Open(const std::string& path) {
  std::unique_ptr<Recording> recording(new Recording(OpenFile(path, "rb")));
  std::FILE* const file = recording->file_.get();
  try {
    std::fseek(file, 0, SEEK_END);
    const auto end = static_cast<uint64_t>(std::ftell(file));
    std::rewind(file);
    uint64_t size = 0;
    while (std::fread(&size, sizeof(size), 1, file) == 1) {
      if (size > end - recording->size_) throw std::runtime_error("it is cut off");
      std::vector<uint8_t> bytes(size);
      if (std::fread(bytes.data(), 1, size, file) != size) ThrowFailed("read");
      recording->Index(bytes, recording->size_);
      recording->size_ += sizeof(size) + size;
    }
  } catch (const std::exception& error) {
    throw MakeError(ErrorCode::kCorrupt, "{}: not the recording of a run: {}", path, error.what());
  }
  return recording;
}

Recording::StepIndex& Recording::At(Step step) {
  const auto i = static_cast<size_t>(step - kStart);
  if (steps_.size() <= i) steps_.resize(i + 1);
  return steps_[i];
}

const Recording::StepIndex* Recording::Find(Step step) const {
  const auto i = static_cast<size_t>(step - kStart);
  return i < steps_.size() ? &steps_[i] : nullptr;
}

uint64_t Recording::Append(const std::vector<uint8_t>& bytes) {
  const uint64_t size = bytes.size();
  std::FILE* const file = file_.get();
  if (std::fseek(file, 0, SEEK_END) != 0 || std::fwrite(&size, sizeof(size), 1, file) != 1 ||
      std::fwrite(bytes.data(), 1, size, file) != size) {
    ThrowFailed("write");
  }
  return std::exchange(size_, size_ + sizeof(size) + size);
}

std::vector<uint8_t> Recording::ReadBytes(uint64_t offset) const {
  uint64_t size = 0;
  std::FILE* const file = file_.get();
  if (std::fseek(file, static_cast<long>(offset), SEEK_SET) != 0 ||
      std::fread(&size, sizeof(size), 1, file) != 1) {
    ThrowFailed("read");
  }
  std::vector<uint8_t> bytes(size);
  if (std::fread(bytes.data(), 1, size, file) != size) ThrowFailed("read");
  return bytes;
}

void Recording::Index(const std::vector<uint8_t>& bytes, uint64_t offset) {
  const json block = json::from_cbor(bytes);
  switch (block.at(0).get<int>()) {
    case kScenario:
      scenario_ = ToDigest(block.at(1));
      break;
    case kStep: {
      std::vector<AgentStep>& agents = At(block.at(1)).agents;
      const AgentId agent = block.at(2);
      if (agents.size() <= agent) agents.resize(agent + size_t{1});
      agents[agent] = {ToDigest(block.at(3)), offset};
      break;
    }
    case kCells: {
      StepIndex& step = At(block.at(1));
      step.cells.push_back(offset);
      step.cells_sum += ToDigest(block.at(2));
      break;
    }
    case kIntervention:
      At(block.at(1)).interventions_sum += ToDigest(block.at(2));
      break;
    default:
      throw std::runtime_error("it has a block of an unknown kind");
  }
}

void Recording::AddScenario(const Digest& digest) {
  const std::vector<uint8_t> bytes = json::to_cbor(json{kScenario, DigestJson(digest)});
  Index(bytes, Append(bytes));
}

void Recording::AddStep(Step step, AgentId agent, const Digest& digest, const RecordedStep* what) {
  std::vector<AgentStep>& agents = At(step).agents;
  if (agents.size() <= agent) agents.resize(agent + size_t{1});
  agents[agent] = {digest, 0};
  if (what == nullptr) return;
  agents[agent].offset = Append(json::to_cbor(json{kStep, step, agent, DigestJson(digest), StepJson(*what)}));
}

void Recording::AddCells(Step step, std::span<const CellWrite> cells) {
  if (cells.empty()) return;
  Digest sum;
  json values = json::array();
  Hasher hasher;
  for (const CellWrite& cell : cells) {
    hasher.Reset();
    cell.Hash(hasher);
    sum += hasher.Finish();
    values.push_back({cell.pos.x, cell.pos.y, cell.value});
  }
  const std::vector<uint8_t> bytes = json::to_cbor(json{kCells, step, DigestJson(sum), std::move(values)});
  Index(bytes, Append(bytes));
}

void Recording::AddIntervention(Step step, const Digest& digest) {
  const std::vector<uint8_t> bytes = json::to_cbor(json{kIntervention, step, DigestJson(digest)});
  Index(bytes, Append(bytes));
}

void Recording::Flush() {
  if (std::fflush(file_.get()) != 0) ThrowFailed("write");
}

AgentId Recording::NumAgents(Step step) const {
  const StepIndex* const index = Find(step);
  return index == nullptr ? 0 : static_cast<AgentId>(index->agents.size());
}

Digest Recording::DigestOf(Step step, AgentId agent) const {
  return agent < NumAgents(step) ? Find(step)->agents[agent].digest : Digest();
}

Digest Recording::CellsOf(Step step) const {
  const StepIndex* const index = Find(step);
  return index == nullptr ? Digest() : index->cells_sum;
}

Digest Recording::InterventionsOf(Step step) const {
  const StepIndex* const index = Find(step);
  return index == nullptr ? Digest() : index->interventions_sum;
}

RecordedStep Recording::Read(Step step, AgentId agent) const {
  const uint64_t offset = agent < NumAgents(step) ? Find(step)->agents[agent].offset : 0;
  return offset == 0 ? RecordedStep() : ToStep(json::from_cbor(ReadBytes(offset)).at(4));
}

std::vector<CellWrite> Recording::ReadCells(Step step) const {
  std::vector<CellWrite> cells;
  const StepIndex* const index = Find(step);
  if (index == nullptr) return cells;
  for (const uint64_t offset : index->cells) {
    const json block = json::from_cbor(ReadBytes(offset));
    for (const json& cell : block.at(3)) {
      cells.push_back({{cell.at(0), cell.at(1)}, cell.at(2)});
    }
  }
  return cells;
}

}  // namespace throng::sim
