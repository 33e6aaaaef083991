#include "effects/server_embedder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <atomic>
#include <functional>
#include <thread>

#include "base/error.h"

namespace throng::effects {
namespace {

using Json = nlohmann::json;
using Outcome = ToolResult::Outcome;
using ::testing::HasSubstr;

// Answers with the length of each text, in another order than it was asked.
class ServerEmbedderTest : public testing::Test {
 protected:
  ServerEmbedderTest() {
    server_.Post("/v1/embeddings", [this](const httplib::Request& request, httplib::Response& response) {
      ++asked_;
      model_ = Json::parse(request.body).value("model", "");
      if (script_ && script_(response)) return;
      Json data = Json::array();
      const Json texts = Json::parse(request.body).at("input");
      for (size_t i = texts.size(); i-- > 0;) {
        const auto length = texts[i].get<std::string>().size();
        data.push_back({{"index", i}, {"embedding", {length, 10}}});
      }
      response.set_content(Json{{"model", "nearby-1"}, {"data", data}}.dump(), "application/json");
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
  }
  ~ServerEmbedderTest() override {
    server_.stop();
    thread_.join();
  }

  std::string Address(const std::string& more = "") const {
    return fmt::format("http://127.0.0.1:{}/v1{}", port_, more);
  }
  std::string ErrorOf(const std::string& address) {
    try {
      ServerEmbedder embedder(address);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  httplib::Server server_;
  std::function<bool(httplib::Response&)> script_;  // whether it has answered; set before asking
  std::atomic<int> asked_ = 0;
  std::string model_;
  int port_ = 0;
  std::thread thread_;
};

TEST_F(ServerEmbedderTest, EmbeddingsComeBackInTheOrderOfTheirTexts) {
  ServerEmbedder embedder(Address("?model=nearby"));
  EXPECT_EQ(embedder.Identity(), "server: nearby-1, 2 numbers");
  EXPECT_EQ(model_, "nearby");
  EXPECT_EQ(embedder.Use(R"({"texts":["12345","1234567890","12345678901234567890"]})").text,
            "[[64,127],[127,127],[127,64]]");
  EXPECT_EQ(asked_, 2);
}

TEST_F(ServerEmbedderTest, ManyTextsGoInSeveralRequests) {
  ServerEmbedder embedder(Address());
  std::vector<std::string> texts;
  for (int i = 0; i < 600; ++i) texts.push_back(std::to_string(i));
  const ToolResult result = embedder.Use(Json{{"texts", texts}}.dump());
  EXPECT_EQ(result.outcome, Outcome::kDone);
  EXPECT_EQ(Json::parse(result.text).size(), 600u);
  EXPECT_EQ(asked_, 1 + 3);
}

TEST_F(ServerEmbedderTest, AsksABusyServerAgain) {
  ServerEmbedder embedder(Address());
  script_ = [this](httplib::Response& response) {
    if (asked_ != 2) return false;
    response.status = 503;
    return true;
  };
  EXPECT_EQ(embedder.Use(R"({"texts":["1"]})").outcome, Outcome::kDone);
  EXPECT_EQ(asked_, 3);
}

TEST_F(ServerEmbedderTest, SaysAtOnceWhatItCannotUse) {
  script_ = [](httplib::Response& response) {
    response.status = 404;
    response.set_content("no such model", "text/plain");
    return true;
  };
  EXPECT_EQ(ErrorOf(Address()), fmt::format("{}/embeddings: 404: no such model", Address()));
  script_ = [](httplib::Response& response) {
    response.set_content(R"({"data": [{"index": 3, "embedding": [1]}]})", "application/json");
    return true;
  };
  EXPECT_THAT(ErrorOf(Address()), HasSubstr("not a list `data` of 1 embeddings"));
  EXPECT_EQ(asked_, 2);
  EXPECT_THAT(ErrorOf("http://127.0.0.1:1/v1"), HasSubstr("http://127.0.0.1:1/v1/embeddings: "));
  EXPECT_THAT(ErrorOf("http://"), HasSubstr("is not a server's address"));
}

TEST_F(ServerEmbedderTest, AnotherLengthIsNoAnswer) {
  ServerEmbedder embedder(Address());
  script_ = [](httplib::Response& response) {
    response.set_content(R"({"data": [{"index": 0, "embedding": [1, 2, 3]}]})", "application/json");
    return true;
  };
  const ToolResult result = embedder.Use(R"({"texts":["a"]})");
  EXPECT_EQ(result.outcome, Outcome::kUnavailable);
  EXPECT_THAT(result.text, HasSubstr("an embedding of 3 numbers; those before had 2"));
}

}  // namespace
}  // namespace throng::effects
