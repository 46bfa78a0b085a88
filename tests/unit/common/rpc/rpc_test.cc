#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "backflip/v1/work.grpc.pb.h"
#include "common/base/retry.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "common/rpc/status.h"

namespace backflip::rpc {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// Answers with the token that it saw, as an error's message.
class EchoToken : public v1::WorkService::CallbackService {
  grpc::ServerUnaryReactor* AssignWork(grpc::CallbackServerContext* context,
                                       const v1::AssignWorkRequest*, v1::Assignment*) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(ToGrpc(absl::AbortedError(BearerToken(*context))));
    return reactor;
  }
};

TEST(Server, TakesAFreePortAndIsHealthy) {
  const auto server = Server::Start({.listen = "127.0.0.1:0"});
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_THAT((*server)->address(), StartsWith("127.0.0.1:"));
  EXPECT_TRUE(WaitHealthy((*server)->address(), absl::Seconds(10)).ok());
}

TEST(Server, SaysWhyItCannotListen) {
  const auto first = Server::Start({.listen = "127.0.0.1:0"});
  ASSERT_TRUE(first.ok());
  const auto second = Server::Start({.listen = (*first)->address()});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr((*first)->address()));
}

TEST(Server, CallsOnDrainAndEndsThen) {
  bool drained = false;
  const auto server = Server::Start({.listen = "127.0.0.1:0", .on_drain = [&] { drained = true; }});
  ASSERT_TRUE(server.ok());
  (*server)->Drain(absl::Seconds(1));
  EXPECT_TRUE(drained);
  EXPECT_FALSE(WaitHealthy((*server)->address(), absl::Milliseconds(200)).ok());
}

TEST(Client, ShowsItsTokenAndGetsTheStatusBack) {
  EchoToken service;
  const auto server = Server::Start({.listen = "127.0.0.1:0", .services = {&service}});
  ASSERT_TRUE(server.ok());
  const Client client((*server)->address(), "secret");
  v1::Assignment assignment;
  const absl::Status status =
      FromGrpc(v1::WorkService::NewStub(client.channel())
                   ->AssignWork(client.UnaryContext().get(), {}, &assignment));
  EXPECT_EQ(status, absl::AbortedError("secret"));
}

TEST(Status, AMessageThatIsTooLargeIsNotSentAgain) {
  const absl::Status large =
      FromGrpc(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                            "Received message larger than max (5000000 vs. 4194304)"));
  EXPECT_TRUE(absl::IsOutOfRange(large)) << large;
  EXPECT_FALSE(base::IsRetryable(large));
  const absl::Status busy =
      FromGrpc(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the broker is busy"));
  EXPECT_TRUE(base::IsRetryable(busy)) << busy;
}

TEST(Status, ASentenceIsPlainText) {
  EXPECT_EQ(Sentence("model: \"Fu\xdf\"\nis odd"), "model: \"Fu?\" is odd");
  EXPECT_EQ(Sentence(std::string(5000, 'a')).size(), 1500u);
}

TEST(ReadTokenFile, NamesTheFileItMisses) {
  EXPECT_THAT(std::string(ReadTokenFile("/nowhere/worker.token").status().message()),
              HasSubstr("/nowhere/worker.token"));
}

TEST(ReadTokenFile, TrimsTheToken) {
  const std::string path = testing::TempDir() + "/token";
  std::ofstream(path) << " abc\n";
  EXPECT_EQ(*ReadTokenFile(path), "abc");
}

}  // namespace
}  // namespace backflip::rpc
