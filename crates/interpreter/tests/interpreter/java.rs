//! Java's kernel, where it is installed.

use std::time::Duration;

use crate::languages::run;
use crate::support::{printed, start, text_of, types};
use serde_json::json;
use tokio::time::timeout;

#[tokio::test]
async fn java_prints_in_order_and_whole_and_loses_nothing() {
    let Some(running) = start(None).await else { return };
    let code = "System.out.print(\"x\" + \"😀\".repeat(50000)); System.err.println(\"é\"); 40 + 2";
    let Some(lines) = run(&running, "java", code).await else { return };
    assert!(printed(&lines, "stdout") == format!("x{}", "😀".repeat(50000)), "characters were cut");
    assert_eq!(printed(&lines, "stderr"), "é\n");
    assert_eq!(text_of(&lines), "42");
    let kinds = types(&lines);
    assert_eq!((kinds[0], kinds[kinds.len() - 2]), ("number_of_executions", "result"));
    assert_eq!(lines[0]["execution_count"], 1, "what runs silently is not counted");

    let code = "for (int i = 0; i < 300000; i++) System.out.println(i);";
    let lines = run(&running, "java", code).await.expect("installed");
    let numbers = printed(&lines, "stdout");
    assert!(numbers.lines().map(|line| line.parse::<u32>().unwrap()).eq(0..300_000));

    let code = "var all = new java.util.ArrayList<Thread>();
        for (int t = 0; t < 4; t++) {
            var thread = new Thread(() -> {
                for (int i = 0; i < 5000; i++) System.out.println(\"a line of a thread\");
            });
            all.add(thread);
            thread.start();
        }
        for (var thread : all) thread.join();";
    let lines = run(&running, "java", code).await.expect("installed");
    assert!(printed(&lines, "stdout") == "a line of a thread\n".repeat(20_000), "torn lines");
    running.stop().await;
}

#[tokio::test]
async fn java_errors_have_the_name_and_the_message_of_the_exception() {
    let Some(running) = start(None).await else { return };
    let code = "int f(int x) { return 10 / x; }\nSystem.out.print(\"before\"); f(0)";
    let Some(lines) = run(&running, "java", code).await else { return };
    assert_eq!(
        types(&lines),
        ["number_of_executions", "stdout", "error", "end_of_execution"],
        "{lines:?}"
    );
    assert_eq!(
        (&lines[2]["name"], &lines[2]["value"]),
        (&json!("ArithmeticException"), &json!("/ by zero"))
    );
    assert!(lines[2]["traceback"].as_str().unwrap().contains("at .f("), "{lines:?}");
    let lines = run(&running, "java", "int wrong = \"text\";").await.expect("installed");
    assert_eq!(lines[1]["name"], "CompilationException");
    assert!(
        lines[1]["value"].as_str().unwrap().contains("cannot be converted to int"),
        "{lines:?}"
    );
    let code = "new java.util.Scanner(System.in).nextLine()";
    let lines = run(&running, "java", code).await.expect("installed");
    assert_eq!(lines[1]["name"], "NoSuchElementException", "input ends at once: {lines:?}");
    running.stop().await;
}

#[tokio::test]
async fn java_code_that_ignores_its_interrupt_does_not_go_on() {
    let Some(running) = start(None).await else { return };
    if run(&running, "java", "int kept = 5; volatile long turns = 0;").await.is_none() {
        return;
    }
    let body = json!({ "code": "while (true) turns++;", "language": "java" });
    let left = timeout(Duration::from_secs(2), running.run(body)).await;
    assert!(left.is_err());
    let code = "long before = turns; Thread.sleep(300); kept + \" \" + (turns - before)";
    let lines = run(&running, "java", code).await.expect("installed");
    if printed(&lines, "stderr").contains("variables are lost") {
        // A later JDK, which does not stop threads.
        let lines = run(&running, "java", "1 + 1").await.expect("installed");
        assert_eq!(text_of(&lines), "2");
    } else {
        assert_eq!(text_of(&lines), "5 0");
    }
    running.stop().await;
}

#[tokio::test]
async fn java_kernels_that_end_are_replaced() {
    let Some(running) = start(None).await else { return };
    let code = "System.out.print(\"last\"); System.exit(3);";
    let Some(lines) = run(&running, "java", code).await else { return };
    assert_eq!(printed(&lines, "stdout"), "last");
    let error = lines.iter().find(|line| line["type"] == "error").unwrap();
    assert!(error["value"].as_str().unwrap().contains("exit code 3"), "{error}");
    let lines = run(&running, "java", "1 + 1").await.expect("installed");
    assert_eq!(text_of(&lines), "2");
    running.stop().await;
}

#[tokio::test]
async fn java_reads_variables_as_properties_and_is_left_no_names() {
    let Some(running) = start(None).await else { return };
    let code = "System.getProperty(\"ONCE\") + System.getProperty(\"ALL\")";
    running.envs.lock().unwrap().insert("ALL".into(), "a".into());
    if run(&running, "java", "1").await.is_none() {
        return;
    }
    let body = json!({ "code": code, "language": "java", "env_vars": { "ONCE": "o\"\\é" } });
    assert_eq!(text_of(&running.run(body).await), "o\"\\éa");
    let lines = run(&running, "java", code).await.expect("installed");
    assert_eq!(text_of(&lines), "nulla");
    // Of three executions with results, and of more that were silent.
    let names =
        "org.dflib.jjava.kernel.JavaNotebookStatics.kernel().getJShell().variables().count()";
    let lines = run(&running, "java", names).await.expect("installed");
    assert_eq!(text_of(&lines), "4");
    running.stop().await;
}

#[tokio::test]
async fn random_numbers_of_java_follow_the_seed() {
    let Some(running) = start(None).await else { return };
    let draw = "String.join(\" \", \"\" + Math.random(), \"\" + StrictMath.random(), \
        \"\" + new java.util.SplittableRandom().nextLong(), \
        \"\" + java.util.random.RandomGenerator.getDefault().nextLong(), \
        \"\" + java.util.concurrent.ThreadLocalRandom.current().nextLong(), \
        \"\" + new java.util.Random().nextLong(), \
        java.util.UUID.randomUUID().toString(), \
        \"\" + new java.security.SecureRandom().nextLong())";
    if run(&running, "java", draw).await.is_none() {
        return;
    }
    let mut drawn = Vec::new();
    for seed in [1, 2, 1] {
        running.interpreter.reseed([seed; 32]).await;
        let text = text_of(&run(&running, "java", draw).await.expect("installed"));
        drawn.push(text.split(' ').map(String::from).collect::<Vec<_>>());
    }
    let [first, other, again] = drawn.try_into().expect("three");
    assert_eq!(first.len(), 8);
    for (index, value) in first.iter().enumerate() {
        assert_ne!(value, &other[index]);
        // Of these four there is one for all threads; the rest mix in the thread, the time, or
        // what the system gives.
        if index < 4 {
            assert_eq!(value, &again[index]);
        } else if index > 4 {
            assert_ne!(value, &again[index]);
        }
    }
    running.stop().await;
}
