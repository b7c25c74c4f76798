import io.a2a.client.Client;
import io.a2a.client.ClientEvent;
import io.a2a.client.MessageEvent;
import io.a2a.client.TaskEvent;
import io.a2a.client.TaskUpdateEvent;
import io.a2a.client.config.ClientConfig;
import io.a2a.client.http.A2ACardResolver;
import io.a2a.client.transport.jsonrpc.JSONRPCTransport;
import io.a2a.client.transport.jsonrpc.JSONRPCTransportConfig;
import io.a2a.client.transport.spi.interceptors.ClientCallContext;
import io.a2a.spec.AgentCard;
import io.a2a.spec.DataPart;
import io.a2a.spec.DeleteTaskPushNotificationConfigParams;
import io.a2a.spec.GetTaskPushNotificationConfigParams;
import io.a2a.spec.ListTaskPushNotificationConfigParams;
import io.a2a.spec.Message;
import io.a2a.spec.Part;
import io.a2a.spec.PushNotificationConfig;
import io.a2a.spec.Task;
import io.a2a.spec.TaskArtifactUpdateEvent;
import io.a2a.spec.TaskIdParams;
import io.a2a.spec.TaskPushNotificationConfig;
import io.a2a.spec.TaskQueryParams;
import io.a2a.spec.TaskState;
import io.a2a.spec.TextPart;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * The scripted conversation by the official A2A SDK for Java, in its 0.3 line.
 *
 * <pre>java -cp ... Interop AGENT_URL TOKEN JSONRPC HOOK_URL</pre>
 *
 * AGENT_URL is that of a wrapped @modelcontextprotocol/server-everything. Nothing here knows Bobbinet.
 */
public class Interop {
    static AgentCard card;
    static ClientCallContext context;

    static void tell(String step, String result) {
        String escaped = result.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", " ");
        System.out.println("{\"step\":\"" + step + "\",\"result\":\"" + escaped + "\"}");
    }

    /** Tells what came of a step, and ends the conversation with the first that fails. */
    static <T> T step(String name, Callable<T> what) {
        try {
            T result = what.call();
            tell(name, "ok");
            return result;
        } catch (Throwable error) {
            tell(name, error.toString());
            error.printStackTrace();
            System.exit(1);
            return null;
        }
    }

    static void must(boolean isSo, Object why) {
        if (!isSo) {
            throw new IllegalStateException(String.valueOf(why));
        }
    }

    static Part<?> call(String skill, Map<String, Object> arguments) {
        return new DataPart(Map.of("skill", skill, "arguments", arguments));
    }

    static Message say(Part<?> part, Task task) {
        Message.Builder message = new Message.Builder()
                .role(Message.Role.USER).messageId(UUID.randomUUID().toString()).parts(List.<Part<?>>of(part));
        if (task != null) {
            message.taskId(task.getId()).contextId(task.getContextId());
        }
        return message.build();
    }

    static Client client(boolean streaming, boolean polling) throws Exception {
        ClientConfig config = new ClientConfig.Builder().setStreaming(streaming).setPolling(polling).build();
        return Client.builder(card).clientConfig(config)
                .withTransport(JSONRPCTransport.class, new JSONRPCTransportConfig()).build();
    }

    /** What a client is told, until its task has ended or asks. */
    static class Heard {
        final LinkedBlockingQueue<Object> queue = new LinkedBlockingQueue<>();
        int artifacts = 0;
        Task first;

        void event(ClientEvent event, AgentCard from) {
            queue.add(event);
        }

        Task until(boolean whole) throws Exception {
            Task last = null;
            while (true) {
                Object heard = queue.poll(60, TimeUnit.SECONDS);
                must(heard != null, "nothing came for a minute, after " + last);
                if (heard instanceof Throwable error) {
                    throw new IllegalStateException(error);
                }
                must(!(heard instanceof MessageEvent), heard);
                if (heard instanceof TaskEvent event) {
                    last = event.getTask();
                } else if (heard instanceof TaskUpdateEvent event) {
                    last = event.getTask();
                    artifacts += event.getUpdateEvent() instanceof TaskArtifactUpdateEvent ? 1 : 0;
                }
                first = first == null ? last : first;
                TaskState state = last.getStatus().state();
                if (!whole || state.isFinal() || state == TaskState.INPUT_REQUIRED) {
                    return last;
                }
            }
        }
    }

    static Heard send(Client client, Message message) throws Exception {
        Heard heard = new Heard();
        client.sendMessage(message, List.of(heard::event), heard.queue::add, context);
        return heard;
    }

    static String texts(Task task) {
        StringBuilder all = new StringBuilder();
        for (var artifact : task.getArtifacts() == null ? List.<io.a2a.spec.Artifact>of() : task.getArtifacts()) {
            for (Part<?> part : artifact.parts()) {
                if (part instanceof TextPart text) {
                    all.append(text.getText()).append('\n');
                }
            }
        }
        return all.toString();
    }

    static Task must(Task task, TaskState state, String said) {
        must(task.getStatus().state() == state && texts(task).contains(said),
                task.getStatus().state() + " with " + texts(task) + ", and not " + state + " with " + said);
        return task;
    }

    public static void main(String[] args) throws Exception {
        String url = args[0];
        String token = args[1];
        String hook = args[3];
        context = new ClientCallContext(Map.of(), Map.of("Authorization", "Bearer " + token));
        card = step("card", () -> new A2ACardResolver(url).getAgentCard());
        Client blocking = client(false, false);
        Client polling = client(false, true);
        Client streaming = client(true, false);

        Task task = step("send", () -> must(
                send(blocking, say(call("echo", Map.of("message", "hello")), null)).until(true),
                TaskState.COMPLETED, "hello"));
        Part<?> slow = call("trigger-long-running-operation", Map.of("duration", 1, "steps", 4));
        step("stream", () -> {
            Heard heard = send(streaming, say(slow, null));
            must(heard.until(true), TaskState.COMPLETED, "");
            must(heard.artifacts > 0, "no artifact came");
            return null;
        });
        Part<?> question = new TextPart("get-sum a=1");
        Part<?> answer = new DataPart(Map.of("b", 2));
        step("question and answer", () -> {
            Task asked = must(send(blocking, say(question, null)).until(true), TaskState.INPUT_REQUIRED, "");
            return must(send(blocking, say(answer, asked)).until(true), TaskState.COMPLETED, "3");
        });
        step("get", () -> must(blocking.getTask(new TaskQueryParams(task.getId()), context),
                TaskState.COMPLETED, "hello"));
        tell("list", "0.3 has it over REST and gRPC only, and this SDK has no call for it");
        step("subscribe after a cut", () -> {
            Part<?> longer = call("trigger-long-running-operation", Map.of("duration", 2, "steps", 4));
            Task begun = send(polling, say(longer, null)).until(false);
            Heard heard = new Heard();
            streaming.resubscribe(new TaskIdParams(begun.getId()), List.of(heard::event), heard.queue::add, context);
            return must(heard.until(true), TaskState.COMPLETED, "");
        });
        step("cancel", () -> {
            Part<?> longest = call("trigger-long-running-operation", Map.of("duration", 30, "steps", 30));
            Task begun = send(polling, say(longest, null)).until(false);
            return must(blocking.cancelTask(new TaskIdParams(begun.getId()), context), TaskState.CANCELED, "");
        });
        step("push configuration", () -> {
            Task asked = must(send(blocking, say(question, null)).until(true), TaskState.INPUT_REQUIRED, "");
            String id = asked.getId();
            var config = new PushNotificationConfig.Builder().url(hook).token("our-token").build();
            var made = blocking.setTaskPushNotificationConfiguration(
                    new TaskPushNotificationConfig(id, config), context).pushNotificationConfig();
            var got = blocking.getTaskPushNotificationConfiguration(
                    new GetTaskPushNotificationConfigParams(id, made.id()), context);
            must(got.pushNotificationConfig().url().equals(hook), got);
            var listed = blocking.listTaskPushNotificationConfigurations(
                    new ListTaskPushNotificationConfigParams(id), context);
            must(listed.size() == 1, listed);
            var doomed = new PushNotificationConfig.Builder().url(hook + "/deleted").token("our-token").build();
            var other = blocking.setTaskPushNotificationConfiguration(
                    new TaskPushNotificationConfig(id, doomed), context).pushNotificationConfig();
            blocking.deleteTaskPushNotificationConfigurations(
                    new DeleteTaskPushNotificationConfigParams(id, other.id()), context);
            return must(send(blocking, say(answer, asked)).until(true), TaskState.COMPLETED, "3");
        });
        if (card.supportsAuthenticatedExtendedCard()) {
            step("extended card", () -> blocking.getAgentCard(context));
        } else {
            tell("extended card", "the agent has none");
        }
        System.exit(0);
    }
}
