// What agents write for others far away: posts, which their followers read; likes of posts; and messages. All
// of it takes effect some steps later, and is kept in versions by step as long as anybody may read it.
// docs/networks.md has the rules and why they are exact.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sim/space/ids.h"

namespace throng::sim {

struct PostId {
  AgentId by = 0;
  Step step = 0;        // in which it was made
  uint32_t number = 0;  // among its author's posts of that step
  auto operator<=>(const PostId&) const = default;
};

struct Post {
  PostId id;
  std::string text;
};

struct Message {
  AgentId from;
  std::string text;
};

// A post of step s is read in the steps from s + latency to s + latency + kept - 1.
struct PostRules {
  Step latency = 0;  // 0: the world has no posts
  Step kept = 1;
  bool IsReadIn(Step step, Step made) const { return made + latency <= step && step < made + latency + kept; }
  // Whether nobody who does the step, or a later one, can read it any more.
  bool IsOverIn(Step step, Step made) const { return made + latency + kept <= step; }
};

// For snapshots: what a board holds between two steps.
struct BoardContents {
  struct Likes {
    PostId post;
    Step from;  // those that count already have the step of the snapshot
    int64_t amount;
  };
  struct Sent {
    Step from;
    AgentId to;
    Message message;
  };
  std::vector<Post> posts;   // ordered by id
  std::vector<Likes> likes;  // ordered by post, then `from`
  std::vector<Sent> sent;    // ordered by `from`, receiver, sender
};

// Of a post or a message, in bytes: many people hold each, and more of it would fill no prompt.
constexpr size_t kLongestText = 65536;

class PostBoard {
 public:
  // Throws kInvalid for a negative latency, posts kept for less than a step, and either beyond kMostDelay.
  PostBoard(AgentId agents, const PostRules& rules);

  const PostRules& GetRules() const { return rules_; }

  // An author's posts must be added in order.
  void Add(Post post);
  // The like counts, and the message arrives, at the start of `from`. What is sent in one step may be added
  // in any order of senders.
  void Like(const PostId& post, Step from, int64_t amount);
  void Send(AgentId to, Step from, Message message);

  // Calls visit(post) for the author's posts that are read in this step, oldest first.
  template <typename Visit>
  void VisitPosts(AgentId author, Step step, Visit visit) const {
    if (by_author_.empty()) return;
    for (const Post& post : by_author_[author]) {
      if (rules_.IsReadIn(step, post.id.step)) visit(post);
    }
  }
  int64_t LikesAt(const PostId& post, Step step) const;
  std::vector<Message> MessagesAt(AgentId to, Step step) const;  // ordered by sender

  // Declares that steps before base_step will not be read again.
  void Prune(Step base_step);

  // What the steps from `step` on read of the steps before it. `horizon` is World::Horizon. `step` must not
  // be before the base step. Does not depend on the order in which things were added.
  BoardContents ContentsAt(Step step, Step horizon) const;
  // Adds it to an empty board.
  void Restore(BoardContents contents);

  size_t Bytes() const;
  size_t NumPosts() const { return num_posts_; }  // kept now

 private:
  struct Likes {
    int64_t settled = 0;                            // at the base step
    std::vector<std::pair<Step, int64_t>> pending;  // from which step on, and how many; in no order
  };
  struct PostHash {
    size_t operator()(const PostId& id) const;
  };
  void Settle(Likes& likes) const;

  PostRules rules_;
  Step base_step_ = 0;
  size_t num_posts_ = 0;
  std::vector<std::vector<Post>> by_author_;  // empty without posts
  // By the step in which the post was made.
  std::map<Step, std::vector<AgentId>> authors_;
  std::map<Step, std::unordered_map<PostId, Likes, PostHash>> likes_;
  std::map<Step, std::unordered_map<AgentId, std::vector<Message>>> messages_;  // by arrival and receiver
};

// For Feed: keeps the best posts that it is shown.
class FeedRanking {
 public:
  explicit FeedRanking(size_t most) : most_(most) {}
  void Add(const Post& post, int64_t score);
  std::vector<Post> Take();  // best first

 private:
  struct Entry {
    int64_t score;
    Post post;
  };
  static bool IsBetter(const Entry& a, const Entry& b) { return IsBetter(a.score, a.post.id, b); }
  static bool IsBetter(int64_t score, const PostId& id, const Entry& other);

  size_t most_;
  std::vector<Entry> best_;  // a heap with the worst on top
};

}  // namespace throng::sim
