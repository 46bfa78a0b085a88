// The HTTP side as browsers, scripts and people of ill will meet it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <atomic>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "cli/launcher/subprocess.h"
#include "services/preference_broker/http/gzip.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
namespace http = boost::beast::http;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;
using nlohmann::json;
using preference_broker::Role;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

using Response = http::response<http::string_body>;
using Headers = std::vector<std::pair<std::string, std::string>>;

constexpr char kJson[] = "application/json";
constexpr char kLease[] = "/backflip.v1.LabelingService/Lease";
constexpr char kSubmit[] = "/backflip.v1.LabelingService/Submit";
constexpr char kList[] = "/backflip.v1.RunService/List";

std::string HeaderOf(const Response& response, const std::string& name) {
  const auto value = response[name];
  return std::string(value.data(), value.size());
}

int PortOf(const std::string& url) {
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(url.substr(url.rfind(':') + 1), &port)) << url;
  return port;
}

std::string RequestText(const std::string& method, const std::string& target,
                        const Headers& headers, const std::string& body) {
  std::string text = absl::StrCat(method, " ", target, " HTTP/1.1\r\nHost: localhost\r\n");
  for (const auto& [name, value] : headers) absl::StrAppend(&text, name, ": ", value, "\r\n");
  if (!body.empty() || method == "POST")
    absl::StrAppend(&text, "Content-Length: ", body.size(), "\r\n");
  return absl::StrCat(text, "\r\n", body);
}

// One connection, blocking.
class Client {
 public:
  // From the `from`th address of this machine; `buffer`: bytes that are received before they are
  // read, 0: many.
  explicit Client(int port, int from = 1, int buffer = 0) : socket_(Context()) {
    Connect(port, from, buffer);
  }

  void Send(const std::string& text) {
    error_code error;
    asio::write(socket_, asio::buffer(text), error);
    // a server that has refused may have closed already: what it said is read below
  }
  // Null when the connection ends first.
  std::optional<Response> Read(bool head = false) {
    http::response_parser<http::string_body> parser;
    parser.body_limit(64 << 20);
    parser.skip(head);
    error_code error;
    http::read(socket_, buffer_, parser, error);
    if (error) return std::nullopt;
    return parser.release();
  }
  std::optional<Response> Call(const std::string& method, const std::string& target,
                               const Headers& headers = {}, const std::string& body = "") {
    Send(RequestText(method, target, headers, body));
    return Read(method == "HEAD");
  }
  // Whether the server closes without another word.
  bool Closes() {
    char byte;
    error_code error;
    return asio::read(socket_, asio::buffer(&byte, 1), error) == 0 && error;
  }
  tcp::socket& socket() { return socket_; }

 private:
  void Connect(int port, int from, int buffer) {
    error_code error;
    socket_.open(tcp::v4());
    if (buffer > 0) socket_.set_option(asio::socket_base::receive_buffer_size(buffer));
    socket_.bind(tcp::endpoint(asio::ip::make_address_v4(0x7f000000 + from), 0), error);
    socket_.connect(tcp::endpoint(asio::ip::address_v4::loopback(), port), error);
    EXPECT_FALSE(error) << error.message();
    timeval patience = {30, 0};  // a test that would hang fails instead
    setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  }

  // One for all: each holds files open.
  static asio::io_context& Context() {
    static asio::io_context context;
    return context;
  }

  tcp::socket socket_;
  boost::beast::flat_buffer buffer_;
};

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/backflip-http-XXXXXX";
    if (mkdtemp(name) == nullptr) std::abort();
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }
  void Write(const std::string& name, const std::string& bytes) const {
    fs::create_directories(fs::path(absl::StrCat(path_, "/", name)).parent_path());
    // aside and renamed: whoever reads sees it whole
    const std::string draft = absl::StrCat(path_, "/draft");
    std::ofstream(draft, std::ios::binary) << bytes;
    fs::rename(draft, absl::StrCat(path_, "/", name));
  }

 private:
  std::string path_;
};

preference_broker::BrokerOptions WithHttp() {
  preference_broker::BrokerOptions options;
  options.http.listen = "127.0.0.1:0";
  return options;
}

class Http : public ::testing::Test {
 protected:
  void Start(preference_broker::BrokerOptions options = WithHttp()) {
    broker_.emplace(std::move(options));
    port_ = PortOf(broker_->broker().http_url());
  }

  Headers As(Role role, const std::string& name = "") {
    return {{"Authorization", absl::StrCat("Bearer ", broker_->Token(role, name))},
            {"Content-Type", kJson}};
  }
  Response Call(const std::string& method, const std::string& target, const Headers& headers = {},
                const std::string& body = "") {
    Client client(port_);
    std::optional<Response> response = client.Call(method, target, headers, body);
    EXPECT_TRUE(response.has_value()) << "no answer to " << method << " " << target;
    return response.value_or(Response());
  }
  // The code of an error, and its message in *message.
  static std::string Code(const Response& response, std::string* message = nullptr) {
    const json body = json::parse(response.body(), nullptr, /*allow_exceptions=*/false);
    if (!body.is_object() || !body.contains("code"))
      return absl::StrCat("not an error: ", response.body());
    EXPECT_EQ(HeaderOf(response, "Content-Type"), kJson);
    if (message != nullptr) *message = body["message"].get<std::string>();
    return body["code"].get<std::string>();
  }
  void ExpectError(const Response& response, int status, const std::string& code,
                   const std::string& says) {
    std::string message;
    EXPECT_EQ(Code(response, &message), code) << response.body();
    EXPECT_EQ(response.result_int(), static_cast<unsigned>(status)) << response.body();
    EXPECT_THAT(message, HasSubstr(says));
  }

  // What came before is in the server's hands, on whichever of its threads: later calls have been
  // answered on each of them.
  void AwaitTaken(const Headers& labeler) {
    for (int i = 0; i < 2; ++i) {
      ASSERT_EQ(Call("POST", kLease, labeler, "{}").result_int(), 200u);
    }
  }

  // A run with open questions.
  void Open(int questions) {
    if (run_.id() == 0) {
      run_ = broker_->CreateRun("labels: 1000 seed: 5");
      (void)broker_->Claim(Role::kLearner);
      epoch_ = broker_->Claim(Role::kTrainer).epoch();
    }
    const auto clips = broker_->Upload(run_.id(), round_, 2 * questions);
    const auto opened = broker_->Open(run_.id(), epoch_, round_++, clips);
    ASSERT_TRUE(opened.ok()) << opened.status();
  }

  std::optional<TestBroker> broker_;
  int port_ = 0;
  v1::Run run_;
  int64_t epoch_ = 0;
  int round_ = 0;
};

// --- the services ------------------------------------------------------------

TEST_F(Http, QuestionsAreLeasedAndAnsweredInJson) {
  Start();
  Open(1);
  const Headers labeler = As(Role::kLabeler);
  Client client(port_);
  const auto leased = client.Call("POST", kLease, labeler, R"({"count": 1})");
  ASSERT_TRUE(leased.has_value());
  ASSERT_EQ(leased->result_int(), 200u) << leased->body();
  EXPECT_EQ(HeaderOf(*leased, "Content-Type"), kJson);
  EXPECT_EQ(HeaderOf(*leased, "Cache-Control"), "no-store");
  const json question = json::parse(leased->body())["questions"][0];
  EXPECT_EQ(question["text"], "Which is better?");
  EXPECT_EQ(question["leaseId"].get<std::string>().size(), 32u);
  EXPECT_EQ(question["runId"], absl::StrCat(run_.id())) << "64-bit numbers are text in JSON";
  EXPECT_EQ(question["clips"][0]["poses"]["poses"].size(), 4u * 2 * 7);
  // on the same connection
  const json answer = {{"leaseId", question["leaseId"]},
                       {"idempotencyKey", NewId()},
                       {"answer", {{"choice", "LEFT"}}},
                       {"client", "a test"}};
  const auto submitted = client.Call("POST", kSubmit, labeler, answer.dump());
  ASSERT_TRUE(submitted.has_value());
  EXPECT_EQ(submitted->result_int(), 200u) << submitted->body();
  EXPECT_EQ(
      Query(broker_->database(), "SELECT id || choice || client FROM labels"),
      absl::StrCat(json::parse(submitted->body())["labelId"].get<std::string>(), "LEFTa test"));
}

TEST_F(Http, TheSameInProtobuf) {
  Start();
  Open(1);
  Headers labeler = As(Role::kLabeler);
  labeler[1].second = "Application/Proto; charset=binary";
  v1::LeaseRequest request;
  request.set_count(1);
  const Response response = Call("POST", kLease, labeler, request.SerializeAsString());
  EXPECT_EQ(response.result_int(), 200u) << response.body();
  EXPECT_EQ(HeaderOf(response, "Content-Type"), "application/proto");
  v1::LeaseResponse leased;
  ASSERT_TRUE(leased.ParseFromString(response.body()));
  ASSERT_EQ(leased.questions_size(), 1);
  ExpectError(Call("POST", kLease, labeler, "\xff\xff\xff"), 400, "invalid_argument",
              "is not a backflip.v1.LeaseRequest");
}

TEST_F(Http, TokensAndRolesAreCheckedAsOnGrpc) {
  Start();
  ExpectError(Call("POST", kList, {{"Content-Type", kJson}}, "{}"), 401, "unauthenticated",
              "carries no token");
  ExpectError(
      Call("POST", kList, {{"Content-Type", kJson}, {"Authorization", "Bearer forged"}}, "{}"), 401,
      "unauthenticated", "unknown, revoked or expired");
  ExpectError(Call("POST", kList, {{"Content-Type", kJson}, {"Authorization", "Basic YTpi"}}, "{}"),
              401, "unauthenticated", "Bearer");
  ExpectError(Call("POST", kList, As(Role::kLabeler), "{}"), 403, "permission_denied", "labeler");
  ExpectError(Call("POST", kLease, As(Role::kOperator), "{}"), 403, "permission_denied",
              "operator");
  EXPECT_EQ(Call("POST", kList, As(Role::kOperator), "{}").result_int(), 200u);
  // another labeler's lease
  Open(1);
  const json leased = json::parse(Call("POST", kLease, As(Role::kLabeler, "one"), "{}").body());
  const json answer = {{"leaseId", leased["questions"][0]["leaseId"]},
                       {"idempotencyKey", NewId()},
                       {"answer", {{"choice", "LEFT"}}}};
  ExpectError(Call("POST", kSubmit, As(Role::kLabeler, "another"), answer.dump()), 403,
              "permission_denied", "belongs to another labeler");
}

TEST_F(Http, ForgedTokensOfAnyBytesAreRefusedAndHarmNobody) {
  Start();
  for (const std::string& token :
       {std::string("Bearer \xff\xfe"), std::string("Bearer a\tb"), std::string("Bearer"),
        std::string("Bearer "), std::string("bearer x"), "Bearer " + std::string(4000, 'x'),
        std::string("\xc3\xa9")}) {
    SCOPED_TRACE(token.substr(0, 20));
    ExpectError(Call("POST", kLease, {{"Content-Type", kJson}, {"Authorization", token}}, "{}"),
                401, "unauthenticated", "authorization: Bearer TOKEN");
    const std::string scene = absl::StrCat("/scenes/", std::string(64, 'a'), ".glb");
    EXPECT_EQ(Call("GET", scene, {{"Authorization", token}}).result_int(), 401u);
  }
  // as long as headers may be
  const Response response = Call(
      "POST", kLease,
      {{"Content-Type", kJson}, {"Authorization", "Bearer " + std::string(15'000, 'x')}}, "{}");
  EXPECT_GE(response.result_int(), 400u);
  EXPECT_EQ(Call("GET", "/healthz").result_int(), 200u);
}

TEST_F(Http, OnlyUnaryMethodsOfPeoplesServicesAreReached) {
  Start();
  const Headers headers = As(Role::kOperator);
  for (const char* path :
       {"/backflip.v1.LabelingService/Export", "/backflip.v1.TrainingService/OpenQuestions",
        "/backflip.v1.SnapshotService/List", "/backflip.v1.BundleService/Put",
        "/backflip.v1.LabelingService/Nothing", "/backflip.v1.Nothing/Lease",
        "/backflip.v1.LabelingService/lease", "/backflip.v1.LabelingService/Lease/"}) {
    SCOPED_TRACE(path);
    ExpectError(Call("POST", path, headers, "{}"), 404, "unimplemented",
                "no such method over HTTP");
  }
  EXPECT_EQ(Call("POST", "/grpc.health.v1.Health/Check", headers, "{}").result_int(), 404u);
}

TEST_F(Http, BadBodiesAreToldWhatIsWrongAndWhere) {
  Start();
  const Headers labeler = As(Role::kLabeler);
  const std::string deep = absl::StrCat(R"({"answer":)", std::string(100'000, '['));
  const std::vector<std::tuple<const char*, std::string, const char*>> cases = {
      {kLease, "", "the body is empty"},
      {kLease, R"({"count": )", "Expected a value"},
      {kLease, R"({"count" 1})", R"({"count" >>>1})"},
      {kLease, R"({"count": 1} x)", "Parsing terminated before end of input"},
      {kLease, "[]", "Root element must be a message"},
      {kLease, R"({"cuont": 1})", "cuont: Cannot find field"},
      {kLease, R"({"count": "many"})", "(count): invalid value \"many\""},
      {kLease, R"({"count": 1e99})", "count"},
      {kLease, R"({"count": 17})", "count"},
      {kLease, "{\"count\": \xff}", "LeaseRequest"},
      {kSubmit, R"({"answer": {"choice": "BEST"}})", "answer.choice"},
      {kSubmit, R"({"answer": {"ranking": {"groups": [{"positons": [1]}]}}})", "positons"},
      {kSubmit, R"({"answer": {"choice": "LEFT", "ranking": {}}})", "ranking"},
      {kSubmit, "{\"note\": \"\xff\xfe\"}", "UTF-8"},
      {kSubmit, deep, "SubmitRequest"},
  };
  for (const auto& [path, body, says] : cases) {
    SCOPED_TRACE(body.substr(0, 80));
    ExpectError(Call("POST", path, labeler, body), 400, "invalid_argument", says);
  }
}

TEST_F(Http, MarkupAndControlCharactersInErrorsStayText) {
  Start();
  const Response response =
      Call("POST", kLease, As(Role::kLabeler), "{\"<script>alert(1)</script>\\u0000\\n\\\"\": 1}");
  EXPECT_EQ(Code(response), "invalid_argument");
  EXPECT_EQ(HeaderOf(response, "Content-Type"), kJson);
  EXPECT_EQ(HeaderOf(response, "X-Content-Type-Options"), "nosniff");
  for (const char c : response.body()) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
}

TEST_F(Http, WhatIsNoConnectCallIsRefused) {
  Start();
  Headers headers = As(Role::kLabeler);
  for (const char* type : {"", "text/plain", "application/x-www-form-urlencoded",
                           "application/grpc", "application/jsonp"}) {
    SCOPED_TRACE(type);
    headers[1].second = type;
    const Response response = Call("POST", kLease, headers, "{}");
    ExpectError(response, 415, "invalid_argument", "application/json");
    EXPECT_EQ(HeaderOf(response, "Accept-Post"), "application/json, application/proto");
  }
  for (const char* method : {"GET", "PUT", "DELETE", "OPTIONS", "HEAD"}) {
    SCOPED_TRACE(method);
    const Response response = Call(method, kLease, As(Role::kLabeler));
    EXPECT_EQ(response.result_int(), 405u);
    EXPECT_EQ(HeaderOf(response, "Allow"), "POST");
    EXPECT_EQ(HeaderOf(response, "Access-Control-Allow-Origin"), "");
  }
  headers = As(Role::kLabeler);
  headers.emplace_back("Connect-Protocol-Version", "2");
  ExpectError(Call("POST", kLease, headers, "{}"), 400, "invalid_argument", "must be 1");
  headers.back() = {"Connect-Protocol-Version", "1"};
  EXPECT_EQ(Call("POST", kLease, headers, "{}").result_int(), 200u);
  for (const char* timeout : {"soon", "-1", "1.5", "12345678901"}) {
    headers.back() = {"Connect-Timeout-Ms", timeout};
    ExpectError(Call("POST", kLease, headers, "{}"), 400, "invalid_argument", "Connect-Timeout-Ms");
  }
}

TEST_F(Http, ADeadlineEndsACall) {
  Start();
  Headers headers = As(Role::kLabeler);
  headers.emplace_back("Connect-Timeout-Ms", "100");
  ExpectError(Call("POST", kLease, headers, R"({"waitMs": 20000})"), 504, "deadline_exceeded", "");
}

TEST_F(Http, BodiesMayBeCompressedBothWays) {
  Start();
  Open(8);
  Headers headers = As(Role::kLabeler);
  headers.emplace_back("Content-Encoding", "gzip");
  headers.emplace_back("Accept-Encoding", "br;q=1, gzip;q=0.5");
  const Response packed =
      Call("POST", kLease, headers, preference_broker::Gzip(R"({"count": 4})", 6));
  ASSERT_EQ(packed.result_int(), 200u) << packed.body();
  EXPECT_EQ(HeaderOf(packed, "Content-Encoding"), "gzip");
  EXPECT_EQ(HeaderOf(packed, "Vary"), "Accept-Encoding");
  const auto body = preference_broker::Gunzip(packed.body(), 1 << 20);
  ASSERT_TRUE(body.ok()) << body.status();
  EXPECT_EQ(json::parse(*body)["questions"].size(), 4u);
  // below 1 KB it is not worth it, and who does not ask gets none
  EXPECT_EQ(HeaderOf(Call("POST", "/backflip.v1.LabelingService/Heartbeat", headers,
                          preference_broker::Gzip("{}", 6)),
                     "Content-Encoding"),
            "");
  headers.back().second = "gzip;q=0, *";
  const Response plain =
      Call("POST", kLease, headers, preference_broker::Gzip(R"({"count": 4})", 6));
  EXPECT_EQ(HeaderOf(plain, "Content-Encoding"), "");
  EXPECT_EQ(json::parse(plain.body())["questions"].size(), 4u);
}

TEST_F(Http, DamagedAndBoundlessCompressionIsRefused) {
  Start();
  Headers headers = As(Role::kLabeler);
  headers.emplace_back("Content-Encoding", "gzip");
  const std::string good = preference_broker::Gzip(R"({"count": 1})", 6);
  for (const std::string& bad : {std::string("{}"), good.substr(0, good.size() - 3), good + "x",
                                 good.substr(0, 5), std::string()}) {
    ExpectError(Call("POST", kLease, headers, bad), 400, "invalid_argument",
                "not one whole gzip stream");
  }
  const std::string bomb = preference_broker::Gzip(std::string(64 << 20, ' '), 1);
  ASSERT_LT(bomb.size(), 4u << 20);
  ExpectError(Call("POST", kLease, headers, bomb), 413, "out_of_range", "when it is decompressed");
  headers.back().second = "br";
  ExpectError(Call("POST", kLease, headers, "x"), 501, "unimplemented", "must be gzip or identity");
}

TEST_F(Http, OversizedRequestsAreRefusedBeforeTheyCome) {
  Start();
  const Headers labeler = As(Role::kLabeler);
  const std::string head =
      absl::StrCat("POST ", kLease, " HTTP/1.1\r\nContent-Type: application/json\r\n",
                   "Authorization: ", labeler[0].second, "\r\n");
  {
    Client client(port_);
    client.Send(absl::StrCat(head, "Content-Length: ", (4 << 20) + 1, "\r\n\r\n"));
    const auto response = client.Read();
    ASSERT_TRUE(response.has_value());
    ExpectError(*response, 413, "out_of_range", "longer than 4194304 bytes");
    EXPECT_TRUE(client.Closes());
  }
  // told in chunks, without a length
  Client client(port_);
  client.Send(absl::StrCat(head, "Transfer-Encoding: chunked\r\n\r\n"));
  for (int i = 0; i < 5; ++i)
    client.Send(absl::StrCat("100000\r\n", std::string(1 << 20, ' '), "\r\n"));
  const auto response = client.Read();
  ASSERT_TRUE(response.has_value());
  ExpectError(*response, 413, "out_of_range", "longer than 4194304 bytes");
  // as much as is allowed is read: this is no JSON
  EXPECT_EQ(Call("POST", kLease, labeler, std::string(4 << 20, '[')).result_int(), 400u);
}

TEST_F(Http, HeadersAreBounded) {
  Start();
  const Response response = Call("GET", "/healthz", {{"X-Long", std::string(20'000, 'x')}});
  ExpectError(response, 431, "out_of_range", "longer than 16384 bytes");
  EXPECT_EQ(Call("GET", "/healthz", {{"X-Long", std::string(15'000, 'x')}}).result_int(), 200u);
}

TEST_F(Http, WhatIsNotHttpIsToldSo) {
  Start();
  for (const char* text :
       {"\x16\x03\x01\x02\x00\x01", "hello\r\n\r\n", "GET / HTTP/3.0\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: five\r\n\r\n"}) {
    SCOPED_TRACE(text);
    Client client(port_);
    client.Send(text);
    client.Send("\r\n\r\n");
    const auto response = client.Read();
    ASSERT_TRUE(response.has_value());
    ExpectError(*response, 400, "invalid_argument", "this is not HTTP/1.1");
    EXPECT_EQ(HeaderOf(*response, "X-Content-Type-Options"), "nosniff");
    EXPECT_TRUE(client.Closes());
  }
}

TEST_F(Http, RequestsOnOneConnectionAreAnsweredInOrder) {
  Start();
  const Headers labeler = As(Role::kLabeler);
  Client client(port_);
  std::string text;
  for (int i = 0; i < 50; ++i) {
    text += RequestText("POST", kLease, labeler, "{}");
    text += RequestText("GET", "/healthz", {}, "");
  }
  client.Send(text);
  for (int i = 0; i < 50; ++i) {
    const auto lease = client.Read();
    ASSERT_TRUE(lease.has_value());
    EXPECT_THAT(lease->body(), HasSubstr("none"));
    const auto health = client.Read();
    ASSERT_TRUE(health.has_value());
    EXPECT_EQ(health->body(), "serving\n");
  }
  // the last wish is granted
  const auto last = client.Call("GET", "/healthz", {{"Connection", "close"}});
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(HeaderOf(*last, "Connection"), "close");
  EXPECT_TRUE(client.Closes());
}

TEST_F(Http, AClientThatAsksFirstIsToldToGoOn) {
  Start();
  Client client(port_);
  const std::string request = RequestText("POST", kLease, As(Role::kLabeler), "{}");
  const size_t end = request.find("\r\n\r\n");
  client.Send(request.substr(0, end) + "\r\nExpect: 100-continue\r\n\r\n");
  const auto go_on = client.Read(/*head=*/true);
  ASSERT_TRUE(go_on.has_value());
  EXPECT_EQ(go_on->result_int(), 100u);
  client.Send("{}");
  const auto response = client.Read();
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->result_int(), 200u);
}

// --- connections -------------------------------------------------------------

TEST_F(Http, AClientThatGoesAwayFreesItsLongPoll) {
  Start();
  Open(1);
  const Headers first = As(Role::kLabeler, "first");
  {
    Client other(port_);
    ASSERT_TRUE(other.Call("POST", kLease, As(Role::kLabeler, "other"), "{}").has_value());
  }
  const Headers second = As(Role::kLabeler, "second");
  // a busy machine may notice later that it has gone
  for (int attempt = 0; attempt < 6; ++attempt) {
    std::optional<Client> gone(std::in_place, port_);
    gone->Send(RequestText("POST", kLease, first, R"({"waitMs": 25000})"));
    AwaitTaken(first);
    gone.reset();
    AwaitTaken(second);
    // its waiting ended with it: the next question goes to somebody who is there
    Open(1);
    const Response leased = Call("POST", kLease, second, R"({"waitMs": 1000})");
    if (json::parse(leased.body()).contains("questions")) return;
  }
  FAIL() << "the questions went to clients that are gone";
}

TEST_F(Http, SlowSendersAreCutOff) {
  preference_broker::BrokerOptions options = WithHttp();
  options.http.patience = std::chrono::seconds(1);
  Start(options);
  Client header(port_), body(port_), trickle(port_);
  header.Send("POST / HTTP/1.1\r\nX: ");
  body.Send("POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nsome");
  std::atomic<bool> closed = false;
  std::thread drip([&] {
    // a byte now and then does not buy more time
    trickle.Send("GET / HTTP/1.1\r\n");
    while (!closed) {
      trickle.Send("X: y\r\n");
      absl::SleepFor(absl::Milliseconds(20));
    }
  });
  EXPECT_TRUE(header.Closes());
  EXPECT_TRUE(body.Closes());
  EXPECT_TRUE(trickle.Closes());
  closed = true;
  drip.join();
  EXPECT_EQ(Call("GET", "/healthz").result_int(), 200u);
}

TEST_F(Http, SlowReadersAreCutOff) {
  Folder folder;
  folder.Write("index.html", std::string(32 << 20, 'x'));
  preference_broker::BrokerOptions options = WithHttp();
  options.http.web = folder.path();
  options.http.patience = std::chrono::seconds(1);
  options.http.idle = std::chrono::milliseconds(2000);
  Start(options);
  Client slow(port_), idle(port_);
  slow.Send(RequestText("GET", "/", {}, ""));
  EXPECT_TRUE(idle.Closes());  // by now the other's time is up too
  EXPECT_FALSE(slow.Read().has_value()) << "all of it came to a client that did not read";
  // who reads gets all
  EXPECT_EQ(Call("GET", "/").body().size(), 32u << 20);
}

TEST_F(Http, RequestsWithRandomDamageHarmNobody) {
  Start();
  std::mt19937_64 random(3);
  const std::vector<std::string> good = {
      RequestText("POST", kLease, As(Role::kLabeler), R"({"count": 1, "waitMs": 10})"),
      RequestText("POST", kSubmit, As(Role::kLabeler),
                  R"({"leaseId": "0", "answer": {"ranking": {"groups": [{"positions": [0]}]}}})"),
      RequestText("GET", "/", {{"Accept-Encoding", "gzip"}, {"If-None-Match", "\"a\""}}, ""),
      RequestText("GET", absl::StrCat("/scenes/", std::string(64, '0'), ".glb"), As(Role::kLabeler),
                  "")};
  for (int i = 0; i < 1000; ++i) {
    std::string text = good[random() % good.size()];
    for (int k = random() % 4; k >= 0; --k) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, random() % 8);
          break;
        case 2:
          text.insert(at, text, random() % text.size(), random() % 16);
          break;
      }
    }
    Client client(port_);
    client.Send(text);
    error_code ignored;
    client.socket().shutdown(tcp::socket::shutdown_send, ignored);
    while (client.Read()) {
    }
  }
  EXPECT_EQ(Call("POST", kLease, As(Role::kLabeler), "{}").result_int(), 200u);
}

TEST_F(Http, IdleConnectionsAreClosedAndLongPollsAreNotIdle) {
  preference_broker::BrokerOptions options = WithHttp();
  options.http.idle = std::chrono::seconds(1);
  options.http.patience = std::chrono::seconds(1);
  Start(options);
  const Headers labeler = As(Role::kLabeler);
  Client never(port_), once(port_);
  ASSERT_TRUE(once.Call("GET", "/healthz").has_value());
  Client waiting(port_);
  const auto polled = waiting.Call("POST", kLease, labeler, R"({"waitMs": 2500})");
  ASSERT_TRUE(polled.has_value());
  EXPECT_EQ(polled->result_int(), 200u);
  EXPECT_TRUE(never.Closes());
  EXPECT_TRUE(once.Closes());
}

TEST_F(Http, DrainingEndsLongPollsAndClosesIdleConnections) {
  Start();
  Client idle(port_), waiting(port_);
  ASSERT_TRUE(idle.Call("GET", "/healthz").has_value());
  waiting.Send(RequestText("POST", kLease, As(Role::kLabeler), R"({"waitMs": 25000})"));
  AwaitTaken(As(Role::kLabeler));
  // sooner than the poll would end
  broker_->broker().Drain(absl::Seconds(20));
  const auto answer = waiting.Read();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->result_int(), 200u) << answer->body();
  EXPECT_EQ(HeaderOf(*answer, "Connection"), "close");
  EXPECT_TRUE(idle.Closes());
  asio::io_context context;
  tcp::socket late(context);
  error_code error;
  late.connect(tcp::endpoint(asio::ip::address_v4::loopback(), port_), error);
  EXPECT_TRUE(error);
}

// --- pages -------------------------------------------------------------------

class HttpPages : public Http {
 protected:
  HttpPages() {
    folder_.Write("index.html", "<!doctype html>labeling");
    folder_.Write("dashboard.html", "<!doctype html>dashboard");
    folder_.Write("assets/page-AB12.js", "let a;");
    folder_.Write("assets/page-AB12.js.gz", preference_broker::Gzip("let a;", 9));
    folder_.Write("assets/fonts/f.woff2", "font");
    folder_.Write("secret.txt", "not a page");
    preference_broker::BrokerOptions options = WithHttp();
    options.http.web = folder_.path();
    Start(options);
  }
  Folder folder_;
};

TEST_F(HttpPages, PagesAreServedWithWhatKeepsThemSafe) {
  const Response index = Call("GET", "/?run=3");
  EXPECT_EQ(index.result_int(), 200u);
  EXPECT_EQ(index.body(), "<!doctype html>labeling");
  EXPECT_EQ(HeaderOf(index, "Content-Type"), "text/html; charset=utf-8");
  EXPECT_EQ(HeaderOf(index, "Cache-Control"), "no-cache");
  EXPECT_EQ(Call("GET", "/dashboard").body(), "<!doctype html>dashboard");
  const std::vector<Response> answers = {index, Call("GET", "/nothing"), Call("PUT", "/"),
                                         Call("POST", kLease, {}, "x"), Call("HEAD", "/")};
  for (const Response& response : answers) {
    EXPECT_THAT(
        HeaderOf(response, "Content-Security-Policy"),
        AllOf(StartsWith("default-src 'self'; img-src 'self' data: blob:; connect-src 'self'"),
              HasSubstr("frame-ancestors 'none'"), Not(HasSubstr("unsafe"))));
    EXPECT_EQ(HeaderOf(response, "X-Content-Type-Options"), "nosniff");
    EXPECT_EQ(HeaderOf(response, "Referrer-Policy"), "no-referrer");
    EXPECT_EQ(HeaderOf(response, "Cross-Origin-Opener-Policy"), "same-origin");
    EXPECT_EQ(HeaderOf(response, "Cross-Origin-Resource-Policy"), "same-origin");
    EXPECT_THAT(HeaderOf(response, "Permissions-Policy"), HasSubstr("camera=()"));
    EXPECT_EQ(HeaderOf(response, "Strict-Transport-Security"), "") << "plain HTTP";
    EXPECT_EQ(HeaderOf(response, "Access-Control-Allow-Origin"), "");
  }
}

TEST_F(HttpPages, AssetsAreCachedForGoodAndPagesAreAskedForAgain) {
  const Response asset = Call("GET", "/assets/page-AB12.js");
  EXPECT_EQ(asset.body(), "let a;");
  EXPECT_EQ(HeaderOf(asset, "Content-Type"), "text/javascript; charset=utf-8");
  EXPECT_EQ(HeaderOf(asset, "Cache-Control"), "public, max-age=31536000, immutable");
  EXPECT_EQ(HeaderOf(asset, "Vary"), "Accept-Encoding");
  const Response packed =
      Call("GET", "/assets/page-AB12.js", {{"Accept-Encoding", "gzip, deflate, br"}});
  EXPECT_EQ(HeaderOf(packed, "Content-Encoding"), "gzip");
  EXPECT_EQ(*preference_broker::Gunzip(packed.body(), 100), "let a;");
  EXPECT_EQ(Call("GET", "/assets/fonts/f.woff2").body(), "font");

  const std::string etag = HeaderOf(Call("GET", "/"), "ETag");
  ASSERT_FALSE(etag.empty());
  Client client(port_);
  const auto known =
      client.Call("GET", "/", {{"If-None-Match", absl::StrCat("\"other\", W/", etag)}});
  ASSERT_TRUE(known.has_value());
  EXPECT_EQ(known->result_int(), 304u);
  EXPECT_EQ(known->body(), "");
  const auto other = client.Call("GET", "/", {{"If-None-Match", "\"other\""}});
  ASSERT_TRUE(other.has_value());
  EXPECT_EQ(other->result_int(), 200u);
}

TEST_F(HttpPages, HeadSaysWhatGetWould) {
  Client client(port_);
  const auto head = client.Call("HEAD", "/assets/page-AB12.js");
  ASSERT_TRUE(head.has_value());
  EXPECT_EQ(head->result_int(), 200u);
  EXPECT_EQ(HeaderOf(*head, "Content-Length"), "6");
  // and no body is in the way of the next
  const auto next = client.Call("GET", "/assets/page-AB12.js");
  ASSERT_TRUE(next.has_value());
  EXPECT_EQ(next->body(), "let a;");
}

TEST_F(HttpPages, NoPathReachesTheFileSystem) {
  for (const char* path :
       {"/secret.txt", "/index.html", "/assets/../secret.txt", "/../../../../etc/passwd",
        "/assets/..%2fsecret.txt", "/assets//etc/passwd", "/assets/page-AB12.js.gz", "/assets/",
        "/assets", "//", "*", "/scenes/../secret.txt", "/scenes/abc.glb"}) {
    SCOPED_TRACE(path);
    const Response response = Call("GET", path);
    EXPECT_EQ(response.result_int(), 404u);
    EXPECT_EQ(Code(response), "not_found");
  }
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "BREW"}) {
    const Response response = Call(method, "/");
    EXPECT_EQ(response.result_int(), 405u);
    EXPECT_EQ(HeaderOf(response, "Allow"), "GET, HEAD");
  }
}

TEST_F(HttpPages, WhoOpensAMangledLinkGetsAPageThatCanReadIt) {
  const Headers browser = {{"Accept", "text/html,application/xhtml+xml,*/*;q=0.8"}};
  for (const char* path : {"/%23invite=KEY", "/index.html", "/nothing/here"}) {
    SCOPED_TRACE(path);
    const Response page = Call("GET", path, browser);
    EXPECT_EQ(page.result_int(), 404u);
    EXPECT_EQ(page.body(), "<!doctype html>labeling");
    EXPECT_EQ(HeaderOf(page, "Content-Type"), "text/html; charset=utf-8");
    EXPECT_EQ(HeaderOf(page, "Cache-Control"), "no-store");
    EXPECT_EQ(Code(Call("GET", path, {{"Accept", "*/*"}})), "not_found") << "to programs";
  }
  EXPECT_EQ(Call("POST", "/nothing", browser, "x").result_int(), 404u);
  EXPECT_EQ(Code(Call("GET", "/scenes/abc.glb", browser)), "not_found");
}

TEST_F(HttpPages, ScenesCountAsCallsAndTakeNoBody) {
  const std::string path = absl::StrCat("/scenes/", std::string(64, 'd'), ".glb");
  const Headers labeler = {As(Role::kLabeler)[0]};
  ExpectError(Call("GET", path, labeler, "body"), 413, "out_of_range", "take no body");
  EXPECT_EQ(Call("GET", "/", {}, "body").result_int(), 413u);
  Headers chunked = labeler;
  chunked.emplace_back("Transfer-Encoding", "chunked");
  Client sender(port_);
  sender.Send(absl::StrCat(RequestText("GET", path, chunked, ""), "4\r\nbody\r\n0\r\n\r\n"));
  const auto refused = sender.Read();
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->result_int(), 413u);
  // uses the token's allowance up by bodies, which come back by 500 KiB a second
  Headers json_calls = As(Role::kLabeler);
  const std::string big(3 << 20, ' ');
  bool slowed = false;
  for (int i = 0; i < 20 && !slowed; ++i) {
    (void)Call("POST", kLease, json_calls, big);
    slowed = Call("GET", path, {json_calls[0]}).result_int() == 429u;
  }
  EXPECT_TRUE(slowed);
}

TEST_F(HttpPages, ScenesAreForWhoMayLabelAndNeverChange) {
  const std::string hash(64, 'a');
  const std::string glb = absl::StrCat("glTF", std::string(5000, 'x'));
  Query(broker_->database(), absl::StrCat("INSERT INTO scenes (sha256, glb) VALUES (decode('", hash,
                                          "', 'hex'), '", glb, "')"));
  const std::string path = absl::StrCat("/scenes/", hash, ".glb");
  ExpectError(Call("GET", path), 401, "unauthenticated", "no token");
  Headers labeler = {As(Role::kLabeler)[0]};
  const Response scene = Call("GET", path, labeler);
  ASSERT_EQ(scene.result_int(), 200u) << scene.body();
  EXPECT_EQ(scene.body(), glb);
  EXPECT_EQ(HeaderOf(scene, "Content-Type"), "model/gltf-binary");
  EXPECT_EQ(HeaderOf(scene, "Cache-Control"), "private, max-age=31536000, immutable");
  labeler.emplace_back("Accept-Encoding", "gzip");
  for (int i = 0; i < 2; ++i) {
    const Response packed = Call("GET", path, labeler);
    EXPECT_EQ(HeaderOf(packed, "Content-Encoding"), "gzip");
    EXPECT_EQ(*preference_broker::Gunzip(packed.body(), 1 << 20), glb);
  }
  EXPECT_EQ(
      Call("GET", absl::StrCat("/scenes/", std::string(64, 'b'), ".glb"), labeler).result_int(),
      404u);
}

TEST_F(HttpPages, WhoReadsNoAnswersUsesUpTheMemoryOfOneAddressAlone) {
  const std::string hash(64, 'c');
  Query(broker_->database(), absl::StrCat("INSERT INTO scenes (sha256, glb) VALUES (decode('", hash,
                                          "', 'hex'), ('glTF' || repeat('x', 3900000))::bytea)"));
  const std::string request =
      RequestText("GET", absl::StrCat("/scenes/", hash, ".glb"), {As(Role::kLabeler)[0]}, "");
  std::vector<std::unique_ptr<Client>> readers;
  int held = 0, refused = 0;
  for (int i = 0; i < 16; ++i) {
    Client& reader =
        *readers.emplace_back(std::make_unique<Client>(port_, /*from=*/1, /*buffer=*/4096));
    reader.Send(request);
    char head[13] = {};
    ASSERT_EQ(recv(reader.socket().native_handle(), head, 12, MSG_PEEK | MSG_WAITALL), 12);
    held += std::string(head) == "HTTP/1.1 200";
    refused += std::string(head) == "HTTP/1.1 503";
  }
  // of 32 MB
  EXPECT_EQ(held, 8);
  EXPECT_EQ(refused, 8);
  Client other(port_, /*from=*/2);
  other.Send(request);
  const auto scene = other.Read();
  ASSERT_TRUE(scene.has_value());
  EXPECT_EQ(scene->result_int(), 200u);
}

// --- who has no token --------------------------------------------------------

constexpr char kAccept[] = "/backflip.v1.PeopleService/AcceptInvite";
constexpr char kInvite[] = "/backflip.v1.PeopleService/Invite";
constexpr char kSignOut[] = "/backflip.v1.PeopleService/SignOut";

// 4 MB of JSON that take half a second to parse, and 4 KB of gzip.
std::string WorstBody() {
  std::string body = R"({"answer":{"ranking":{"groups":[{})";
  for (int i = 0; i < 1'397'000; ++i) body += ",{}";
  return preference_broker::Gzip(body + "]}}}", 6);
}

TEST_F(Http, NothingIsReadOrDecompressedBeforeATokenIsKnown) {
  Start();
  for (const std::string& authorization :
       {std::string(), std::string("Authorization: Bearer x\r\n")}) {
    Client client(port_);
    // refused although no byte of the body ever comes
    client.Send(absl::StrCat("POST ", kSubmit, " HTTP/1.1\r\nContent-Type: application/json\r\n",
                             authorization,
                             "Content-Encoding: gzip\r\nContent-Length: 5000\r\n\r\n"));
    const auto response = client.Read();
    ASSERT_TRUE(response.has_value());
    ExpectError(*response, 401, "unauthenticated", "authorization: Bearer TOKEN");
    EXPECT_TRUE(client.Closes());
  }
  // a short body does not cost the connection
  Client client(port_);
  for (int i = 0; i < 2; ++i) {
    const auto response = client.Call("POST", kSubmit, {{"Content-Type", kJson}}, "{");
    ASSERT_TRUE(response.has_value());
    EXPECT_EQ(response->result_int(), 401u);
  }
  // what needs no token takes little, and no compression
  ExpectError(Call("POST", kAccept, {{"Content-Type", kJson}}, std::string(5000, ' ')), 413,
              "out_of_range", "longer than 4096 bytes");
  ExpectError(Call("POST", kAccept, {{"Content-Type", kJson}, {"Content-Encoding", "gzip"}},
                   preference_broker::Gzip("{}", 6)),
              501, "unimplemented", "identity");
  ExpectError(Call("GET", "/healthz", {}, std::string(5000, ' ')), 413, "out_of_range",
              "take no body");
}

TEST_F(Http, NothingIsReadForATokenThatWasRevoked) {
  Start();
  const Headers labeler = As(Role::kLabeler);
  ASSERT_EQ(Call("POST", kLease, labeler, "{}").result_int(), 200u);
  Query(broker_->database(), "UPDATE tokens SET revoked_at = now()");
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (Call("POST", kLease, labeler, "{}").result_int() != 401u && absl::Now() < deadline)
    absl::SleepFor(absl::Milliseconds(20));
  Client client(port_);
  client.Send(absl::StrCat("POST ", kSubmit, " HTTP/1.1\r\nContent-Type: application/json\r\n",
                           labeler[0].first, ": ", labeler[0].second,
                           "\r\nContent-Length: 5000\r\n\r\n"));
  const auto response = client.Read();
  ASSERT_TRUE(response.has_value()) << "the rest of the body is waited for";
  EXPECT_EQ(response->result_int(), 401u);
}

TEST_F(Http, PagesAnswerWhileTheWorstBodiesAreParsed) {
  Start();
  Headers labeler = As(Role::kLabeler);
  labeler.emplace_back("Content-Encoding", "gzip");
  const std::string worst = WorstBody();
  const std::string request = RequestText("POST", kSubmit, labeler, worst);
  // one on each thread that carries connections
  Client one(port_), two(port_);
  one.Send(request);
  two.Send(request);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Call("GET", "/healthz").result_int(), 200u);
  EXPECT_EQ(one.socket().available(), 0u) << "the body was answered first";
  EXPECT_EQ(two.socket().available(), 0u) << "the body was answered first";
  // one is more than a token may send in eight seconds: what it owes is refused before the work
  Response refused;
  for (int i = 0; i < 20 && refused.result_int() != 429u; ++i)
    refused = Call("POST", kSubmit, labeler, worst);
  ExpectError(refused, 429, "resource_exhausted", "500 KiB");
  int after = 0;
  EXPECT_TRUE(absl::SimpleAtoi(HeaderOf(refused, "Retry-After"), &after));
  EXPECT_GT(after, 0) << "what it owes it has not at once";
  EXPECT_LT(after, 60);
  EXPECT_EQ(Call("POST", kLease, As(Role::kLabeler, "another"), "{}").result_int(), 200u);
}

TEST_F(Http, WhoGuessesTokensIsSlowedDownAndWhoIsKnownIsNot) {
  Start();
  EXPECT_EQ(Call("POST", kLease, As(Role::kLabeler), "{}").result_int(), 200u);
  Client client(port_);
  int refused = 0;
  for (int i = 0; i < 2000; ++i) {
    const auto response =
        client.Call("POST", kLease,
                    {{"Content-Type", kJson}, {"Authorization", absl::StrCat("Bearer ", i)}}, "{}");
    ASSERT_TRUE(response.has_value());
    if (response->result_int() != 429u) continue;
    ++refused;
    break;
  }
  EXPECT_EQ(refused, 1) << "2000 guesses were looked up";
  EXPECT_EQ(Call("POST", kLease, As(Role::kLabeler), "{}").result_int(), 200u);
  // nor do others lose their way in
  EXPECT_EQ(Call("GET", "/healthz").result_int(), 200u);
}

TEST_F(Http, BehindAProxyEachClientHasItsOwnAllowance) {
  preference_broker::BrokerOptions options = WithHttp();
  options.http.public_url = "https://labels.example.org";
  Start(options);
  const auto guess = [&](const std::string& hops) {
    return Call("POST", kLease,
                {{"Content-Type", kJson}, {"Authorization", "Bearer x"}, {"X-Forwarded-For", hops}},
                "{}")
        .result_int();
  };
  int looked_up = 0;
  bool refused = false;
  // ten a second come back: the allowance is used up for a moment
  for (int i = 0; i < 50 && !refused; ++i) {
    while (looked_up < 2000 && guess("198.51.100.7, 2001:db8::1") == 401u) ++looked_up;
    refused = guess("203.0.113.9, 2001:db8::2") == 429u;
  }
  EXPECT_LT(looked_up, 2000);
  EXPECT_TRUE(refused) << "the same network";
  EXPECT_EQ(guess("2001:db8::1, 203.0.113.9"), 401u)
      << "what a client adds itself counts for nothing";
}

TEST_F(Http, OfSeveralLinesOfAProxyTheLastSaysWhereACallComesFrom) {
  preference_broker::BrokerOptions options = WithHttp();
  options.http.public_url = "https://labels.example.org";
  Start(options);
  // the first line is the client's, another one each time
  int made_up = 0;
  bool refused = false;
  for (int i = 0; i < 2000 && !refused; ++i) {
    refused = Call("POST", kLease,
                   {{"Content-Type", kJson},
                    {"Authorization", "Bearer x"},
                    {"X-Forwarded-For", absl::StrCat("203.0.", ++made_up / 250, ".", i % 250)},
                    {"X-Forwarded-For", "198.51.100.7"}},
                   "{}")
                  .result_int() == 429u;
  }
  EXPECT_TRUE(refused);
}

TEST_F(Http, HeadersThatDecideSomethingAreSentOnce) {
  Start();
  const Headers labeler = As(Role::kLabeler);
  ASSERT_EQ(Call("POST", kLease, labeler, "{}").result_int(), 200u);
  for (const auto& [name, value] : Headers{{"Authorization", "Bearer x"},
                                           {"content-type", "text/plain"},
                                           {"Host", "other"},
                                           {"Cookie", "a=b"},
                                           {"Backflip-Page", "labeling"},
                                           {"Origin", "https://other"},
                                           {"Sec-Fetch-Site", "same-origin"},
                                           {"Content-Encoding", "identity"},
                                           {"Connect-Timeout-Ms", "1000"},
                                           {"Connect-Protocol-Version", "1"}}) {
    SCOPED_TRACE(name);
    Headers twice = labeler;
    for (int i = 0; i < 2; ++i) twice.emplace_back(name, value);
    ExpectError(Call("POST", kLease, twice, "{}"), 400, "invalid_argument", "is sent twice");
  }
}

// --- sessions of the pages ---------------------------------------------------

class HttpSessions : public Http {
 protected:
  // The Set-Cookie header that accepting a new invite of this role gives a page.
  std::string Accept(const std::string& role, const std::string& page) {
    const json invite = {
        {"requestId", NewId()}, {"role", role}, {"name", absl::StrCat("p", NewId().substr(0, 8))}};
    const json invited =
        json::parse(Call("POST", kInvite, As(Role::kOperator), invite.dump()).body());
    const json accept = {{"requestId", NewId()}, {"secret", invited["secret"]}};
    const Response accepted =
        Call("POST", kAccept, {{"Content-Type", kJson}, {"Backflip-Page", page}}, accept.dump());
    EXPECT_EQ(accepted.result_int(), 200u) << accepted.body();
    EXPECT_FALSE(json::parse(accepted.body()).contains("token")) << "a script could read it";
    return HeaderOf(accepted, "Set-Cookie");
  }
  unsigned Use(const std::string& method, const Headers& headers) {
    Headers all = {{"Content-Type", kJson}};
    all.insert(all.end(), headers.begin(), headers.end());
    return Call("POST", method, all, "{}").result_int();
  }
  static std::string Pair(const std::string& set_cookie) {
    return set_cookie.substr(0, set_cookie.find(';'));
  }
};

TEST_F(HttpSessions, ATokenStaysInACookieThatNoScriptAndNoOtherSiteCanUse) {
  Start();
  const std::string cookie = Accept("INVITE_LABELER", "labeling");
  EXPECT_THAT(cookie, AllOf(StartsWith(absl::StrCat("backflip-labeling-", port_, "=")),
                            HasSubstr("; HttpOnly; SameSite=Strict"), HasSubstr("Max-Age=2592000"),
                            Not(HasSubstr("Secure"))));
  const std::string pair = Pair(cookie);
  EXPECT_EQ(Use(kLease, {{"Cookie", absl::StrCat("a=b; ", pair)}, {"Backflip-Page", "labeling"}}),
            200u);
  EXPECT_EQ(Use(kLease, {{"Cookie", pair}}), 401u) << "a form of another site can send that";
  EXPECT_EQ(Use(kLease, {{"Cookie", pair}, {"Backflip-Page", "dashboard"}}), 401u);
  EXPECT_EQ(Use(kLease,
                {{"Cookie", pair}, {"Backflip-Page", "labeling"}, {"Sec-Fetch-Site", "same-site"}}),
            403u);
  EXPECT_EQ(
      Use(kLease,
          {{"Cookie", pair}, {"Backflip-Page", "labeling"}, {"Origin", "https://evil.example"}}),
      403u);
  EXPECT_EQ(Use(kLease,
                {{"Cookie", pair}, {"Backflip-Page", "labeling"}, {"Origin", "http://localhost"}}),
            200u);
  EXPECT_EQ(Use(kLease, {{"Cookie", absl::StrCat("backflip-labeling-", port_, "=\xff")},
                         {"Backflip-Page", "labeling"}}),
            401u);
}

TEST_F(HttpSessions, ALinkForLabelingLeavesTheOperatorSignedIn) {
  Start();
  const std::string dashboard = Accept("INVITE_OPERATOR", "dashboard");
  // accepted on the wrong page: still the session of the page that it is for
  const std::string labeling = Accept("INVITE_LABELER", "dashboard");
  EXPECT_THAT(dashboard, HasSubstr("Max-Age=43200"));
  const std::string both = absl::StrCat(Pair(dashboard), "; ", Pair(labeling));
  EXPECT_EQ(Use(kList, {{"Cookie", both}, {"Backflip-Page", "dashboard"}}), 200u);
  EXPECT_EQ(Use(kLease, {{"Cookie", both}, {"Backflip-Page", "labeling"}}), 200u);
  // signing out ends one of them
  const Response out =
      Call("POST", kSignOut,
           {{"Content-Type", kJson}, {"Cookie", both}, {"Backflip-Page", "labeling"}}, "{}");
  EXPECT_THAT(HeaderOf(out, "Set-Cookie"),
              AllOf(StartsWith("backflip-labeling"), HasSubstr("Max-Age=0")));
  EXPECT_EQ(Use(kLease, {{"Cookie", both}, {"Backflip-Page", "labeling"}}), 401u);
  EXPECT_EQ(Use(kList, {{"Cookie", both}, {"Backflip-Page", "dashboard"}}), 200u);
}

TEST_F(HttpSessions, BehindTlsCookiesAndPagesAreForTlsAlone) {
  preference_broker::BrokerOptions options = WithHttp();
  options.http.public_url = "https://labels.example.org";
  Start(options);
  EXPECT_THAT(Accept("INVITE_REVIEWER", "dashboard"),
              AllOf(StartsWith("__Host-backflip-dashboard="), HasSubstr("; Secure")));
  EXPECT_EQ(HeaderOf(Call("GET", "/healthz"), "Strict-Transport-Security"), "max-age=31536000");
}

// --- how it is started -------------------------------------------------------

absl::Status StartError(preference_broker::HttpOptions http) {
  preference_broker::BrokerOptions options;
  options.database = MigratedDatabase();
  options.listen = "127.0.0.1:0";
  options.http = std::move(http);
  return preference_broker::Broker::Start(options).status();
}

TEST(HttpStart, PlainHttpForOthersIsRefused) {
  preference_broker::HttpOptions http;
  for (const char* listen : {"0.0.0.0:0", "[::]:0"}) {
    http.listen = listen;
    const absl::Status status = StartError(http);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), AllOf(HasSubstr("--tls_certificate"), HasSubstr("--public_url")));
  }
  http.listen = "0.0.0.0:0";
  http.public_url = "https://labels.example.org";
  EXPECT_TRUE(StartError(http).ok());
  for (const char* url :
       {"http://labels.example.org", "http://127.0.0.1.example.org:80", "ftp://a"}) {
    http.public_url = url;
    EXPECT_THAT(StartError(http).message(), HasSubstr("--public_url")) << url;
  }
  for (const char* url : {"http://127.0.0.1:7480", "http://[::1]:7480", "http://localhost"}) {
    http.public_url = url;
    EXPECT_TRUE(StartError(http).ok()) << url;
  }
  http.public_url = "";
  http.listen = "localhost:0";
  EXPECT_TRUE(StartError(http).ok());
}

TEST(HttpStart, OptionsThatCannotBeMeantAreToldSo) {
  preference_broker::HttpOptions http;
  for (const char* listen :
       {"8080", ":8080", "localhost:", "localhost:http", "localhost:70000", "unix:/tmp/x"}) {
    SCOPED_TRACE(listen);
    http.listen = listen;
    EXPECT_THAT(StartError(http).message(), HasSubstr("must be host:port"));
  }
  http.listen = "127.0.0.1:0";
  http.tls_key = "key.pem";
  EXPECT_THAT(StartError(http).message(), HasSubstr("belong together"));
  http.tls_certificate = "/nowhere/certificate.pem";
  EXPECT_THAT(StartError(http).message(), HasSubstr("/nowhere/certificate.pem"));
  http.tls_key = http.tls_certificate = "";
  http.web = "/nowhere";
  EXPECT_THAT(StartError(http).message(), HasSubstr("/nowhere/index.html"));
  http.web = "";
  asio::io_context context;
  tcp::acceptor taken(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  http.listen = absl::StrCat("127.0.0.1:", taken.local_endpoint().port());
  EXPECT_EQ(StartError(http).code(), absl::StatusCode::kUnavailable);
}

// A self-signed certificate for localhost, in certificate.pem and key.pem.
void MakeCertificate(const Folder& folder, const std::string& name) {
  const std::string key = absl::StrCat(folder.path(), "/new.key");
  const std::string certificate = absl::StrCat(folder.path(), "/new.crt");
  const auto made =
      cli::Run({.argv = {"/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                         absl::StrCat("/CN=", name), "-addext", "subjectAltName=DNS:localhost",
                         "-keyout", key, "-out", certificate}});
  ASSERT_TRUE(made.ok()) << made.status();
  fs::rename(key, absl::StrCat(folder.path(), "/key.pem"));
  fs::rename(certificate, absl::StrCat(folder.path(), "/certificate.pem"));
}

struct TlsAnswer {
  std::string subject;
  unsigned status = 0;
  std::string body;
};

// A request over TLS, of at most the given version. Empty subject: no connection was made.
TlsAnswer TlsCall(int port, const std::string& request, int max_version = TLS1_3_VERSION) {
  TlsAnswer answer;
  asio::io_context context;
  ssl::context settings(ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(settings.native_handle(), 0);
  SSL_CTX_set_security_level(settings.native_handle(), 0);
  SSL_CTX_set_max_proto_version(settings.native_handle(), max_version);
  ssl::stream<tcp::socket> stream(context, settings);
  error_code error;
  stream.next_layer().connect(tcp::endpoint(asio::ip::address_v4::loopback(), port), error);
  if (!error) stream.handshake(ssl::stream_base::client, error);
  if (error) return answer;
  X509* const certificate = SSL_get1_peer_certificate(stream.native_handle());
  char name[256];
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof(name));
  X509_free(certificate);
  answer.subject = name;
  asio::write(stream, asio::buffer(request), error);
  boost::beast::flat_buffer buffer;
  Response response;
  if (!error) http::read(stream, buffer, response, error);
  answer.status = error ? 0 : response.result_int();
  answer.body = response.body();
  return answer;
}

TEST_F(Http, SpeaksTlsAndRenewsItsCertificate) {
  Folder folder;
  MakeCertificate(folder, "first");
  preference_broker::BrokerOptions options = WithHttp();
  options.http.tls_certificate = absl::StrCat(folder.path(), "/certificate.pem");
  options.http.tls_key = absl::StrCat(folder.path(), "/key.pem");
  options.http.renewal = std::chrono::milliseconds(0);
  Start(options);
  EXPECT_THAT(broker_->broker().http_url(), StartsWith("https://"));
  const std::string lease = RequestText("POST", kLease, As(Role::kLabeler), R"({"waitMs": 50})");
  TlsAnswer answer = TlsCall(port_, lease);
  EXPECT_EQ(answer.subject, "first");
  EXPECT_EQ(answer.status, 200u);
  EXPECT_THAT(answer.body, HasSubstr("none"));
  EXPECT_EQ(TlsCall(port_, lease, TLS1_2_VERSION).status, 200u);
  EXPECT_EQ(TlsCall(port_, lease, TLS1_1_VERSION).subject, "");
  // plain text gets no answer, and harms nobody
  Client plain(port_);
  plain.Send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_FALSE(plain.Read().has_value());

  MakeCertificate(folder, "second");
  EXPECT_EQ(TlsCall(port_, lease).subject, "second");
  folder.Write("certificate.pem", "broken");
  EXPECT_EQ(TlsCall(port_, lease).subject, "second") << "the last good one stays";
  MakeCertificate(folder, "third");
  EXPECT_EQ(TlsCall(port_, lease).subject, "third");
}

// The real program, after the words of `before`; its HTTP port.
int StartBroker(std::vector<std::string> before, const std::string& log, pid_t* pid) {
  for (const std::string& word :
       {std::string(BACKFLIP_BROKER), std::string("serve"),
        absl::StrCat("--database_url=", MigratedDatabase()), std::string("--listen=127.0.0.1:0"),
        std::string("--http_listen=127.0.0.1:0")})
    before.push_back(word);
  const auto spawned =
      cli::Spawn({.argv = std::move(before), .log_file = log, .dies_with_parent = true});
  EXPECT_TRUE(spawned.ok()) << spawned.status();
  *pid = spawned.value_or(0);
  while (*pid != 0) {
    if (waitpid(*pid, nullptr, WNOHANG) != 0) break;
    std::ifstream file(log);
    std::string line;
    while (std::getline(file, line)) {
      if (absl::StrContains(line, "\"serving\"") && !file.eof())
        return PortOf(json::parse(line)["http"].get<std::string>());
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
  ADD_FAILURE() << "the broker has ended";
  return 0;
}

TEST(HttpLoad, OneAddressHasAQuarterOfTheConnections) {
  Folder folder;
  pid_t pid = 0;
  // as many files as leave 400 connections
  const int port = StartBroker({"prlimit", "--nofile=656:656"}, folder.path() + "/log", &pid);
  ASSERT_NE(port, 0);
  const std::string health = RequestText("GET", "/healthz", {}, "");
  std::vector<std::unique_ptr<Client>> clients;
  int served = 0;
  for (int i = 0; i < 120; ++i) {
    clients.push_back(std::make_unique<Client>(port));
    clients.back()->Send(health);
    served += clients.back()->Read().has_value();
  }
  EXPECT_EQ(served, 100);
  Client other(port, /*from=*/2);
  other.Send(health);
  EXPECT_TRUE(other.Read().has_value());
  // one that goes makes room
  clients.erase(clients.begin());
  bool again = false;
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (!again && absl::Now() < deadline) {
    Client client(port);
    client.Send(health);
    again = client.Read().has_value();
  }
  EXPECT_TRUE(again);
  kill(pid, SIGTERM);
  waitpid(pid, nullptr, 0);
}

// Files of clients and server do not add up in one process.
TEST(HttpLoad, TenThousandConnectionsAreOpenAtOnce) {
  constexpr int kConnections = 10'000;
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_max < kConnections + 300) {
    GTEST_SKIP() << "this machine's hard limit of open files is " << limit.rlim_max
                 << ", but this needs " << kConnections + 300
                 << ": raise it with `ulimit -Hn` as root";
  }
  const rlimit raised = {limit.rlim_max, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &raised), 0);
  Folder folder;
  const std::string log = absl::StrCat(folder.path(), "/log");
  pid_t pid = 0;
  const int port = StartBroker({}, log, &pid);
  {
    std::vector<std::unique_ptr<Client>> clients;
    const std::string health = RequestText("GET", "/healthz", {}, "");
    for (int i = 0; i < kConnections; ++i)
      clients.push_back(std::make_unique<Client>(port, 1 + i % 8));
    for (const auto& client : clients) client->Send(health);
    int served = 0;
    for (const auto& client : clients) served += client->Read().has_value();
    EXPECT_EQ(served, kConnections);
    // all are still open, and somebody new is served too
    const Headers headers = {{"Authorization", "Bearer x"}, {"Content-Type", kJson}};
    const auto forged = Client(port).Call("POST", kLease, headers, "{}");
    ASSERT_TRUE(forged.has_value());
    EXPECT_EQ(forged->result_int(), 401u);
    std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
    int threads = 0;
    for (std::string line; std::getline(status, line);) {
      if (absl::StartsWith(line, "Threads:")) threads = std::atoi(line.c_str() + 8);
    }
    EXPECT_GT(threads, 0);
    EXPECT_LT(threads, 100);
    served = 0;
    for (const auto& client : clients) client->Send(health);
    for (const auto& client : clients) served += client->Read().has_value();
    EXPECT_EQ(served, kConnections);
  }
  kill(pid, SIGTERM);
  int ended = -1;
  ASSERT_EQ(waitpid(pid, &ended, 0), pid);
  EXPECT_TRUE(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace
}  // namespace backflip::testing
