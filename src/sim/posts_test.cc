#include "sim/posts.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "base/rng.h"

namespace throng::sim {
namespace {

TEST(PostBoard, KeepsOnlyWhatSomebodyMayStillRead) {
  PostBoard board(4, {2, 3});
  const size_t empty = board.Bytes();
  const PostId first{1, 0, 0};
  board.Add({first, "a text that is longer than a string has room for"});
  board.Add({{1, 4, 0}, "b"});
  board.Like(first, 3, 2);
  board.Like(first, 4, 1);
  board.Like(first, 5, 1);  // when nobody reads it any more
  board.Send(2, 6, {3, "late"});
  board.Send(2, 6, {1, "first"});
  board.Send(2, 6, {3, "later"});
  const auto texts = [&](Step step) {
    std::string all;
    board.VisitPosts(1, step, [&](const Post& post) { all += post.text.substr(0, 1); });
    return all;
  };
  for (Step base = 0; base <= 2; ++base) {
    board.Prune(base);
    EXPECT_EQ(texts(base), base == 2 ? "a" : "");
    EXPECT_EQ(texts(4) + texts(5) + texts(6), "ab");
    EXPECT_EQ(board.LikesAt(first, 2), 0);
    EXPECT_EQ(board.LikesAt(first, 3), 2);
    EXPECT_EQ(board.LikesAt(first, 4), 3);
    EXPECT_EQ(board.LikesAt(first, 5), 0);
  }
  board.Prune(4);
  board.Like(first, 4, -7);  // settles those before it
  EXPECT_EQ(board.LikesAt(first, 4), -4);
  EXPECT_EQ(board.NumPosts(), 2u);
  board.Prune(5);
  EXPECT_EQ(board.NumPosts(), 1u);
  std::string received;
  for (const Message& message : board.MessagesAt(2, 6)) received += message.text + " ";
  EXPECT_EQ(received, "first late later ");
  EXPECT_TRUE(board.MessagesAt(2, 5).empty());
  EXPECT_TRUE(board.MessagesAt(1, 6).empty());
  board.Prune(9);
  EXPECT_EQ(board.NumPosts(), 0u);
  EXPECT_LE(board.Bytes(), empty);
}

TEST(PostBoard, ItsContentsAreWhatStepsReadOfEarlierOnes) {
  constexpr Step kHorizon = 4;
  const PostRules rules = {2, 3};
  const auto add = [](PostBoard& board, bool forwards) {
    const PostId first{1, 1, 0}, second{1, 3, 0}, last{1, 4, 0};
    const std::vector<std::function<void()>> writes = {
        [&] { board.Like(first, 4, 2); },         [&] { board.Like(first, 5, -1); },
        [&] { board.Like(second, 6, 3); },        [&] { board.Like(last, 8, 7); },  // by step 4
        [&] { board.Send(2, 5, {3, "before"}); }, [&] { board.Send(2, 7, {3, "x"}); },
        [&] { board.Send(0, 7, {1, "y"}); },      [&] { board.Send(0, 8, {1, "by step 4"}); }};
    for (const PostId& id : {PostId{1, 0, 0}, first, second, last}) board.Add({id, "text"});
    for (size_t i = 0; i < writes.size(); ++i) writes[forwards ? i : writes.size() - 1 - i]();
  };
  const auto texts = [](const BoardContents& contents) {
    std::string all;
    for (const Post& post : contents.posts) all += fmt::format("{}.{} ", post.id.by, post.id.step);
    for (const auto& likes : contents.likes)
      all += fmt::format("{}+{}@{} ", likes.post.step, likes.amount, likes.from);
    for (const auto& sent : contents.sent)
      all += fmt::format("{}>{}:{}@{} ", sent.message.from, sent.to, sent.message.text, sent.from);
    return all;
  };
  const std::string at_4 = "1.0 1.1 1.3 1+2@4 1+-1@5 3+3@6 3>2:before@5 1>0:y@7 3>2:x@7 ";
  const std::string at_5 = "1.1 1.3 1.4 1+1@5 3+3@6 4+7@8 3>2:before@5 1>0:y@7 3>2:x@7 1>0:by step 4@8 ";
  for (const bool forwards : {true, false}) {
    PostBoard board(4, rules);
    add(board, forwards);
    EXPECT_EQ(texts(board.ContentsAt(4, kHorizon)), at_4);
    board.Prune(4);
    EXPECT_EQ(texts(board.ContentsAt(4, kHorizon)), at_4);
    EXPECT_EQ(texts(board.ContentsAt(5, kHorizon)), at_5);
    PostBoard again(4, rules);
    again.Prune(5);
    again.Restore(board.ContentsAt(5, kHorizon));
    EXPECT_EQ(texts(again.ContentsAt(5, kHorizon)), at_5);
    for (Step step = 5; step < 9; ++step) {
      EXPECT_EQ(again.LikesAt({1, 4, 0}, step), step == 8 ? 7 : 0);
    }
  }
}

TEST(FeedRanking, HasTheBestOfAllOrders) {
  CounterRng rng(1);
  for (size_t most = 0; most < 12; ++most) {
    std::vector<std::pair<int64_t, Post>> shown;
    FeedRanking ranking(most);
    for (uint32_t i = 0; i < 10; ++i) {
      const Post post{{static_cast<AgentId>(rng.NextBelow(3)), static_cast<Step>(rng.NextBelow(3)), i}, ""};
      shown.emplace_back(static_cast<int64_t>(rng.NextBelow(3)) - 1, post);
      ranking.Add(post, shown.back().first);
    }
    std::sort(shown.begin(), shown.end(), [](const auto& a, const auto& b) {
      if (a.first != b.first) return a.first > b.first;
      if (a.second.id.step != b.second.id.step) return a.second.id.step > b.second.id.step;
      if (a.second.id.by != b.second.id.by) return a.second.id.by < b.second.id.by;
      return a.second.id.number > b.second.id.number;
    });
    const std::vector<Post> best = ranking.Take();
    ASSERT_EQ(best.size(), std::min<size_t>(most, 10));
    for (size_t i = 0; i < best.size(); ++i) EXPECT_EQ(best[i].id, shown[i].second.id);
  }
}

}  // namespace
}  // namespace throng::sim
