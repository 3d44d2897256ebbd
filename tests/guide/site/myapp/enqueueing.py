# The documented snippet uses these names without importing them.
import logging

from django.contrib.auth.models import User
from django.core.mail import send_mail
from django.tasks import task

from .tasks import send_welcome_email

logger = logging.getLogger(__name__)

from django.tasks import group, chain, chord
from datetime import datetime, timedelta
from .tasks import send_email_django_task, process_user_data, generate_report

def enqueue_with_scheduling():
    """Enqueue tasks with scheduling."""
    
    # Immediate execution
    task_result = send_welcome_email.delay(user_id=1)
    
    # Delayed execution (countdown in seconds)
    task_result = send_welcome_email.apply_async(
        args=[1],
        countdown=300  # Execute in 5 minutes
    )
    
    # Scheduled execution (specific datetime)
    eta = datetime.now() + timedelta(hours=1)
    task_result = send_welcome_email.apply_async(
        args=[1],
        eta=eta
    )
    
    # Periodic execution (requires scheduler)
    from django.tasks.schedules import crontab
    
    # This would typically be in settings or task configuration
    periodic_task = {
        'task': 'myapp.tasks.send_welcome_email',
        'schedule': crontab(hour=9, minute=0),  # Daily at 9 AM
        'args': [1]
    }

def enqueue_with_routing():
    """Enqueue tasks with specific routing."""
    
    # Route to specific backend
    task_result = send_welcome_email.apply_async(
        args=[1],
        backend='redis'
    )
    
    # Route to specific queue
    task_result = send_welcome_email.apply_async(
        args=[1],
        queue='high_priority'
    )
    
    # Set task priority
    task_result = send_welcome_email.apply_async(
        args=[1],
        priority=9  # Higher number = higher priority
    )

def enqueue_task_groups():
    """Enqueue groups of related tasks."""
    
    # Group - execute tasks in parallel
    user_ids = [1, 2, 3, 4, 5]
    
    job = group(
        send_welcome_email.s(user_id) for user_id in user_ids
    )
    
    result = job.apply_async()
    
    return {
        'group_id': result.id,
        'task_count': len(user_ids),
        'status': 'queued'
    }

def enqueue_task_chain():
    """Enqueue chained tasks (sequential execution)."""
    
    # Chain - execute tasks sequentially
    workflow = chain(
        process_user_data.s(1, {'first_name': 'John'}),
        send_welcome_email.s(),  # Will receive result from previous task
        generate_report.s('user_activity', '2024-01-01:2024-12-31')
    )
    
    result = workflow.apply_async()
    
    return {
        'chain_id': result.id,
        'status': 'started'
    }

def enqueue_task_chord():
    """Enqueue chord (group + callback)."""
    
    # Chord - execute group in parallel, then callback with results
    user_ids = [1, 2, 3, 4, 5]
    
    # Header - tasks to execute in parallel
    header = group(
        process_user_data.s(user_id, {'status': 'processed'}) 
        for user_id in user_ids
    )
    
    # Body - callback task that receives all results
    callback = generate_report.s('batch_processing_summary')
    
    # Create chord
    chord_task = chord(header)(callback)
    
    return {
        'chord_id': chord_task.id,
        'header_tasks': len(user_ids),
        'status': 'started'
    }

def enqueue_with_error_handling():
    """Enqueue tasks with error handling options."""
    
    # Task with retry configuration
    task_result = send_welcome_email.apply_async(
        args=[1],
        retry=True,
        retry_policy={
            'max_retries': 3,
            'interval_start': 0,
            'interval_step': 0.2,
            'interval_max': 0.2,
        }
    )
    
    # Task with custom error handling
    task_result = process_user_data.apply_async(
        args=[1, {'email': 'new@example.com'}],
        link_error=handle_user_update_error.s()
    )
    
    return task_result

@task
def handle_user_update_error(task_id, error, traceback):
    """Handle user update errors."""
    # Log error
    logger.error(f"User update task {task_id} failed: {error}")
    
    # Send notification to admin
    send_mail(
        subject='Task Failure Notification',
        message=f'Task {task_id} failed with error: {error}',
        from_email='admin@example.com',
        recipient_list=['admin@example.com']
    )

def enqueue_conditional_tasks():
    """Enqueue tasks based on conditions."""
    
    # Conditional task execution
    user_id = 1
    user = User.objects.get(id=user_id)
    
    if user.is_active and user.email:
        # Send welcome email
        welcome_task = send_welcome_email.delay(user_id)
        
        # Chain additional tasks based on user type
        if user.is_staff:
            # Staff users get additional setup
            setup_task = process_user_data.apply_async(
                args=[user_id, {'role': 'staff'}],
                link=welcome_task.id
            )
        
        return welcome_task.id
    
    return None

def bulk_enqueue_tasks():
    """Efficiently enqueue multiple tasks."""
    
    # Bulk task creation
    user_ids = range(1, 1001)  # 1000 users
    
    # Method 1: Individual task enqueueing
    task_ids = []
    for user_id in user_ids:
        task_result = send_welcome_email.delay(user_id)
        task_ids.append(task_result.id)
    
    # Method 2: Batch enqueueing (more efficient)
    tasks = [
        send_welcome_email.s(user_id) 
        for user_id in user_ids
    ]
    
    # Enqueue in batches
    batch_size = 100
    batch_results = []
    
    for i in range(0, len(tasks), batch_size):
        batch = tasks[i:i + batch_size]
        batch_group = group(batch)
        batch_result = batch_group.apply_async()
        batch_results.append(batch_result.id)
    
    return {
        'total_tasks': len(user_ids),
        'batch_count': len(batch_results),
        'batch_ids': batch_results
    }
