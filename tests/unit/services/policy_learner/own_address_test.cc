#include "services/policy_learner/own_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace backflip::policy_learner {
namespace {

using ::testing::HasSubstr;

TEST(OwnAddress, IsWhereTheServerListensAtOneAddress) {
  for (const char* one :
       {"unix:/run/learner.sock", "127.0.0.1:7500", "learner.example.org:7500", "[::1]:7500"}) {
    EXPECT_EQ(*OwnAddress(one, "broker.invalid:7400"), one);
  }
}

TEST(OwnAddress, IsLoopbackWhereTheBrokerIsOnThisMachine) {
  for (const char* broker : {"unix:/run/broker.sock", "127.0.0.1:7400", "localhost:7400"}) {
    EXPECT_EQ(*OwnAddress("0.0.0.0:7500", broker), "127.0.0.1:7500");
    EXPECT_EQ(*OwnAddress("[::]:7500", broker), "127.0.0.1:7500");
  }
}

TEST(OwnAddress, IsThatOfTheInterfaceOnTheWayToTheBroker) {
  // loopback is the only interface that every machine has
  EXPECT_EQ(*OwnAddress("0.0.0.0:7500", "dns:///127.0.0.2:7400"), "127.0.0.1:7500");
}

TEST(OwnAddress, IsUnavailableWhileTheBrokersNameIsNotKnown) {
  const auto own = OwnAddress("0.0.0.0:7500", "broker.invalid:7400");
  EXPECT_TRUE(absl::IsUnavailable(own.status())) << own.status();
  EXPECT_THAT(std::string(own.status().message()), HasSubstr("give --advertise"));
}

}  // namespace
}  // namespace backflip::policy_learner
