#include "sim/snapshot.h"

#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace throng::sim {

namespace {

constexpr uint32_t kForm = 2;  // of what is not minds

// What the shortest agent, cell, announcement, post, like and message take, in bytes: a bound for counts in
// damaged files.
constexpr size_t kLeast = 1;

Digest DigestOfSteps(const Digest& start, const std::vector<Digest>& steps) {
  Hasher hasher;
  hasher.Add(start);
  for (const Digest& step : steps) hasher.Add(step);
  return hasher.Finish();
}

void WritePos(ByteWriter& out, Pos pos) { out.Add(pos.x).Add(pos.y); }

Pos ReadPos(ByteReader& in) {
  const auto x = in.Get<int32_t>();
  return {x, in.Get<int32_t>()};
}

void WriteAgent(ByteWriter& out, const Snapshot::Agent& agent) {
  out.Add(agent.was_present);
  if (!agent.was_present) return;
  out.Add(agent.present);
  WritePos(out, agent.body.pos);
  out.Add(std::string_view(agent.body.status)).Add(agent.mind != nullptr);
  if (agent.mind != nullptr) {
    ByteWriter mind;
    agent.mind->Write(mind);
    out.Add(std::string_view(mind.Take())).Add(agent.mind_digest);
  }
  out.Add(agent.lookahead.until);
  WritePos(out, agent.lookahead.low);
  WritePos(out, agent.lookahead.high);
}

MindPtr ReadMindOf(const World& world, AgentId id, ByteReader& in, Hasher& hasher, Digest& digest) {
  ByteReader bytes(in.GetText());
  MindPtr mind = world.ReadMind(id, bytes);
  digest = in.GetDigest();
  THRONG_CHECK(mind != nullptr);
  hasher.Reset();
  mind->Hash(hasher);
  if (!bytes.IsAtEnd() || hasher.Finish() != digest) {
    throw MakeError(ErrorCode::kCorrupt, "the mind of {} is not the one that was written",
                    world.AgentName(id));
  }
  return mind;
}

Snapshot::Agent ReadAgent(const World& world, AgentId id, ByteReader& in, Hasher& hasher) {
  Snapshot::Agent agent;
  agent.was_present = in.GetBool();
  if (!agent.was_present) return agent;
  agent.present = in.GetBool();
  agent.body.pos = ReadPos(in);
  agent.body.status = in.GetText();
  if (!world.GetSpace().Contains(agent.body.pos)) {
    throw MakeError(ErrorCode::kCorrupt, "{} is at ({}, {}), outside the space", world.AgentName(id),
                    agent.body.pos.x, agent.body.pos.y);
  }
  if (in.GetBool()) agent.mind = ReadMindOf(world, id, in, hasher, agent.mind_digest);
  agent.lookahead.until = in.Get<Step>();
  agent.lookahead.low = ReadPos(in);
  agent.lookahead.high = ReadPos(in);
  return agent;
}

void WritePostId(ByteWriter& out, const PostId& id) { out.Add(id.by).Add(id.step).Add(id.number); }

PostId ReadPostId(ByteReader& in) {
  const auto by = in.Get<AgentId>();
  const auto step = in.Get<Step>();
  return {by, step, in.Get<uint32_t>()};
}

void WriteBoard(ByteWriter& out, const BoardContents& board) {
  out.Add(uint64_t{board.posts.size()});
  for (const Post& post : board.posts) {
    WritePostId(out, post.id);
    out.Add(std::string_view(post.text));
  }
  out.Add(uint64_t{board.likes.size()});
  for (const auto& likes : board.likes) {
    WritePostId(out, likes.post);
    out.Add(likes.from).Add(likes.amount);
  }
  out.Add(uint64_t{board.sent.size()});
  for (const auto& sent : board.sent) {
    out.Add(sent.from).Add(sent.to).Add(sent.message.from).Add(std::string_view(sent.message.text));
  }
}

BoardContents ReadBoard(const World& world, Step step, ByteReader& in) {
  const PostRules rules = world.GetPostRules();
  const auto must = [&](bool is_possible, const char* what) {
    if (!is_possible) {
      throw MakeError(ErrorCode::kCorrupt, "it has {} that cannot be there at step {}", what, step);
    }
  };
  const auto is_read = [&](const PostId& id) {
    return rules.latency > 0 && id.by < world.NumAgents() && id.step >= 0 && id.step < step &&
           !rules.IsOverIn(step, id.step);
  };
  const auto is_to_come = [&](Step from) { return from >= step && from - step < world.Horizon(); };
  BoardContents board;
  for (size_t left = in.GetCount(kLeast); left > 0; --left) {
    const PostId id = ReadPostId(in);
    must(is_read(id) && (board.posts.empty() || board.posts.back().id < id), "a post");
    board.posts.push_back({id, std::string(in.GetText())});
  }
  for (size_t left = in.GetCount(kLeast); left > 0; --left) {
    const PostId id = ReadPostId(in);
    const auto from = in.Get<Step>();
    must(is_read(id) && is_to_come(from), "a like");
    board.likes.push_back({id, from, in.Get<int64_t>()});
  }
  for (size_t left = in.GetCount(kLeast); left > 0; --left) {
    const auto from = in.Get<Step>();
    const auto to = in.Get<AgentId>();
    const auto sender = in.Get<AgentId>();
    must(is_to_come(from) && to < world.NumAgents() && sender < world.NumAgents(), "a message");
    board.sent.push_back({from, to, {sender, std::string(in.GetText())}});
  }
  return board;
}

}  // namespace

std::string WriteSnapshot(const Snapshot& snapshot) {
  ByteWriter out;
  out.Add(kForm).Add(snapshot.step).Add(snapshot.start_hash);
  out.Add(DigestOfSteps(snapshot.start_hash, snapshot.step_hashes));
  ForEachStepCount([&](auto field) { out.Add(snapshot.counts.*field); });
  out.Add(snapshot.largest_cluster).Add(snapshot.interventions);
  out.Add(uint64_t{snapshot.agents.size()});
  for (const Snapshot::Agent& agent : snapshot.agents) WriteAgent(out, agent);
  out.Add(uint64_t{snapshot.cells.size()});
  for (const CellWrite& cell : snapshot.cells) {
    WritePos(out, cell.pos);
    out.Add(std::string_view(cell.value));
  }
  out.Add(uint64_t{snapshot.announced.size()});
  for (const Heard& heard : snapshot.announced) {
    out.Add(heard.announcement.from).Add(std::string_view(heard.announcement.text)).Add(heard.by);
  }
  WriteBoard(out, snapshot.board);
  return out.Take();
}

Snapshot ReadSnapshot(const World& world, Step step, std::vector<Digest> step_hashes,
                      std::string_view bytes) {
  ByteReader in(bytes);
  Snapshot snapshot;
  if (const auto form = in.Get<uint32_t>(); form != kForm) {
    throw MakeError(ErrorCode::kCorrupt, "it has form {}, allowed: {}", form, kForm);
  }
  snapshot.step = in.Get<Step>();
  snapshot.start_hash = in.GetDigest();
  snapshot.step_hashes = std::move(step_hashes);
  if (snapshot.step != step || snapshot.step_hashes.size() != static_cast<size_t>(step) ||
      in.GetDigest() != DigestOfSteps(snapshot.start_hash, snapshot.step_hashes)) {
    throw MakeError(ErrorCode::kCorrupt, "it does not follow from the steps before step {}", step);
  }
  ForEachStepCount([&](auto field) { snapshot.counts.*field = in.Get<uint64_t>(); });
  snapshot.largest_cluster = in.Get<uint32_t>();
  snapshot.interventions = in.Get<uint64_t>();
  if (const size_t agents = in.GetCount(kLeast); agents != world.NumAgents()) {
    throw MakeError(ErrorCode::kCorrupt, "it has {} agents, the world {}", agents, world.NumAgents());
  }
  Hasher hasher;
  snapshot.agents.reserve(world.NumAgents());
  for (AgentId id = 0; id < world.NumAgents(); ++id) {
    snapshot.agents.push_back(ReadAgent(world, id, in, hasher));
  }
  for (size_t left = in.GetCount(kLeast); left > 0; --left) {
    const Pos pos = ReadPos(in);
    snapshot.cells.push_back({pos, std::string(in.GetText())});
  }
  for (size_t left = in.GetCount(kLeast); left > 0; --left) {
    const auto from = in.Get<Step>();
    std::string text(in.GetText());
    snapshot.announced.push_back({{from, std::move(text)}, in.Get<AgentId>()});
  }
  snapshot.board = ReadBoard(world, step, in);
  if (!in.IsAtEnd()) throw Error(ErrorCode::kCorrupt, "it is longer than what it holds");
  return snapshot;
}

}  // namespace throng::sim
