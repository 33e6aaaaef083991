#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "serve/testing/server_rig.h"

namespace throng::serve {
namespace {

using ::testing::HasSubstr;

TEST_F(ServerTest, HasAPageToChat) {
  Start({.access = {.api_key = "sesame"}});
  auto client = MakeClient();
  const auto page = client.Get("/");
  EXPECT_EQ(page->status, 200);
  EXPECT_EQ(page->get_header_value("Content-Type"), "text/html; charset=utf-8");
  EXPECT_THAT(page->get_header_value("Content-Security-Policy"), HasSubstr("default-src 'none'"));
  EXPECT_THAT(page->body, HasSubstr("chat/page.js"));
  EXPECT_EQ(client.Get("/chat")->body, page->body);
  EXPECT_EQ(client.Get("/chat/page.js")->get_header_value("Content-Type"), "text/javascript; charset=utf-8");
  EXPECT_EQ(client.Get("/chat/chat.css")->get_header_value("Content-Type"), "text/css; charset=utf-8");
  EXPECT_EQ(client.Get("/viewer/state/run.js")->get_header_value("Content-Type"),
            "text/javascript; charset=utf-8");
  EXPECT_EQ(client.Get("/chat/main.js")->status, 404);
  EXPECT_EQ(client.Get("/chat/../viewer/main.js")->status, 404);
}

TEST_F(ServerTest, PacksTheViewersFilesOnce) {
  StartServer({}, nullptr);
  auto client = MakeClient();
  const std::string plain = client.Get("/viewer/page.js")->body;
  client.set_decompress(false);
  const auto packed = client.Get("/viewer/page.js", {{"Accept-Encoding", "br, gzip"}});
  EXPECT_EQ(packed->get_header_value("Content-Encoding"), "gzip");
  EXPECT_LT(packed->body.size(), plain.size() / 2);
  const auto refused = client.Get("/viewer/page.js", {{"Accept-Encoding", "gzip;q=0"}});
  EXPECT_EQ(refused->body, plain);
}

TEST_F(ServerTest, SendsPagesOnceAndThenOnlyIfTheyChange) {
  StartServer({}, nullptr);
  auto client = MakeClient();
  const auto first = client.Get("/viewer/main.js");
  EXPECT_EQ(first->get_header_value("Cache-Control"), "no-cache");
  const std::string tag = first->get_header_value("ETag");
  EXPECT_NE(tag, client.Get("/viewer/page.js")->get_header_value("ETag"));
  const auto again = client.Get("/viewer/main.js", {{"If-None-Match", tag}});
  EXPECT_EQ(again->status, 304);
  EXPECT_EQ(again->body, "");
  EXPECT_EQ(again->get_header_value("ETag"), tag);
  EXPECT_EQ(client.Get("/viewer/main.js", {{"If-None-Match", "W/\"other\""}})->status, 200);
}

TEST_F(ServerTest, TakesPagesFromAFolderWhileSomebodyWorksOnThem) {
  const auto folder = std::filesystem::temp_directory_path() / fmt::format("throng-web-{}", getpid());
  std::filesystem::create_directories(folder / "viewer");
  std::ofstream(folder / "viewer/main.js") << "changed";
  setenv("THRONG_WEB", folder.c_str(), 1);
  StartServer({}, nullptr);
  EXPECT_EQ(Get("/viewer/main.js"), (std::pair<int, std::string>(200, "changed")));
  EXPECT_EQ(Get("/viewer/page.js").first, 404);
  unsetenv("THRONG_WEB");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace throng::serve
