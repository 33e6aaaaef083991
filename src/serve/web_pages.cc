// The pages for browsers: files of web/, which the build puts into the program. While somebody works on them,
// THRONG_WEB=web serves them from that folder.

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>

#include "base/digest.h"
#include "serve/endpoints.h"
#include "serve/http/error_reply.h"
#include "serve/http/gzip.h"
#include "serve/web_files.h"

namespace throng::serve {
namespace {

// Packed once: it takes longer than all the rest of the reply.
constexpr int kSmall = 9;

// Whatever a model or a run writes on a page, it loads nothing and talks to nobody but this server. Pages
// have their icon in themselves.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri "
    "'none'; form-action 'none'; frame-ancestors 'none'";

struct PackedFile {
  std::string bytes;  // in gzip
  std::string tag;    // changes with the content
};

std::map<std::string_view, PackedFile> PackAll() {
  std::map<std::string_view, PackedFile> packed;
  for (const WebFile& file : WebFiles()) {
    packed.emplace(file.path,
                   PackedFile{Gzip(file.bytes, kSmall), fmt::format("W/\"{}\"", DigestOf(file.bytes).Hex())});
  }
  return packed;
}

HttpReply FromFolder(const std::string& folder, const WebFile& file) {
  std::ifstream stream(fmt::format("{}/{}", folder, file.path), std::ios::binary);
  if (!stream) return ErrorReply(404, fmt::format("THRONG_WEB={}: there is no {}", folder, file.path));
  HttpReply reply;
  reply.type = file.type;
  reply.body.assign(std::istreambuf_iterator<char>(stream), {});
  return reply;
}

HttpReply BuiltIn(const HttpRequest& request, const WebFile& file) {
  static const std::map<std::string_view, PackedFile> packed = PackAll();
  const PackedFile& known = packed.at(file.path);
  HttpReply reply;
  reply.type = file.type;
  // Kept by browsers, but asked for each time: a new program has new pages.
  reply.headers = {{"ETag", known.tag}, {"Cache-Control", "no-cache"}, {"Vary", "Accept-Encoding"}};
  const auto asked = request.headers.find("if-none-match");
  if (asked != request.headers.end() && asked->second.find(known.tag) != std::string::npos) {
    reply.status = 304;
    reply.type.clear();
  } else if (AcceptsGzip(request)) {
    reply.headers.emplace_back("Content-Encoding", "gzip");
    reply.body = known.bytes;
  } else {
    reply.body = file.bytes;
  }
  return reply;
}

HttpReply FileReply(const HttpRequest& request, std::string_view path) {
  const auto file = std::ranges::find(WebFiles(), path, &WebFile::path);
  if (file == WebFiles().end()) return ErrorReply(404, fmt::format("there is no {}", path));
  const char* const folder = std::getenv("THRONG_WEB");
  HttpReply reply = folder != nullptr ? FromFolder(folder, *file) : BuiltIn(request, *file);
  reply.headers.emplace_back("Content-Security-Policy", kPolicy);
  return reply;
}

}  // namespace

HttpReply HomePage(Context& context, const HttpRequest& request) {
  return context.options.runs.empty() ? ChatPage(context, request) : FileReply(request, "viewer/index.html");
}

HttpReply ViewerFile(Context& context, const HttpRequest& request) {
  return FileReply(request, "viewer/" + request.params.at("file"));
}

HttpReply ChatPage(Context& context, const HttpRequest& request) {
  return FileReply(request, "chat/index.html");
}

HttpReply ChatFile(Context& context, const HttpRequest& request) {
  return FileReply(request, "chat/" + request.params.at("file"));
}

}  // namespace throng::serve
